"""Missing numbers that the graph fills in itself may be in a batch; others, and infinite ones, may not."""

import io

import numpy as np
import pytest
from onnx import numpy_helper, parser

from analysis.batch import load_batch
from analysis.batch.missing import fills_in
from analysis.errors import BadBatch
from analysis.model import CheckedModel, check_model

FILLED = "m = IsNaN(c) f = Where(m, v, c)"


def model(nodes: str) -> CheckedModel:
    proto = parser.parse_model(
        f'<ir_version: 8, opset_import: ["": 17]> net (float[N,2] x) => (float[] y) {{ {nodes} y = MatMul(f, w) }}'
    )
    weights = {"v": np.zeros(2, np.float32), "w": np.ones((2, 2), np.float32), "k": np.array([1, 0])}
    read = {name for node in proto.graph.node for name in node.input}
    proto.graph.initializer.extend(numpy_helper.from_array(weights[name], name) for name in weights if name in read)
    return check_model(proto.SerializeToString())


def batch(*row: float) -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.array([row], np.float32))
    return file.getvalue()


@pytest.mark.parametrize(
    ("nodes", "filled"),
    [
        (f"c = Identity(x) {FILLED}", True),
        (f"g = Gather<axis = 1>(x, k) c = Cast<to = 1>(g) {FILLED}", True),
        (f"c = Relu(x) {FILLED}", False),
        ("c = Identity(x) m = IsNaN(c) f = Where(m, c, v)", False),
        ("c = Identity(x) r = Relu(c) m = IsNaN(r) f = Where(m, v, c)", False),
        ("c = Identity(x) e = Where(m, v, c) m = IsNaN(c) f = Add(e, c)", False),
        ("f = Identity(x)", False),
    ],
)
def test_a_graph_fills_in_what_it_asks_for_on_every_way(nodes: str, filled: bool) -> None:
    read = model(nodes)
    assert fills_in(read, "x") is filled
    if filled:
        assert np.isnan(load_batch(batch(1.0, np.nan), read).inputs["x"][0, 1])
    else:
        with pytest.raises(BadBatch, match="NaN"):
            load_batch(batch(1.0, np.nan), read)


def test_infinite_numbers_are_refused_all_the_same() -> None:
    with pytest.raises(BadBatch, match="infinite"):
        load_batch(batch(np.nan, np.inf), model(f"c = Identity(x) {FILLED}"))
