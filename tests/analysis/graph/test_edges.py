"""Where floats become whole numbers or steps."""

import numpy as np
import pytest

from analysis.graph.edges import edge_values
from tests.analysis.graph.graphs import floats, model

L = "l = MatMul(x, W)"


@pytest.mark.parametrize(
    ("nodes", "output", "edges"),
    [
        ("y = Relu(l)", "float[] y", ()),
        ("y = ArgMax(l)", "int64[] y", ("l",)),
        ("r = Relu(l) c = Cast<to = 2>(r) y = Neg(l)", "float[] y", ("r",)),
        ("y = Round(l)", "float[] y", ("l",)),
        ("r = Relu(l) g = Greater(r, l) y = Where(g, l, r)", "float[] y", ("l", "r")),
        ("y, i = TopK(l, k)", "float[] y", ("l",)),
        ("s = Shape(l) y = Reshape(l, s)", "float[] y", ()),
        ("c = Cast<to = 1>(l) y = Neg(c)", "float[] y", ()),
        ("g = Gather(l, i) y = Neg(g)", "float[] y", ()),
        ("g = Greater(x, W0) y = Where(g, l, l)", "float[] y", ()),
    ],
)
def test_floats_that_are_computed_and_decide_are_on_an_edge(nodes: str, output: str, edges: tuple[str, ...]) -> None:
    known = {"k": np.array([1]), "i": np.array([0]), "W0": np.zeros(1, np.float32)}
    used = {name: array for name, array in known.items() if f"{name})" in nodes}
    checked = model(f"{L} {nodes}", "float[N,4] x", output, W=floats(4, 3), **used)
    assert edge_values(checked) == edges
