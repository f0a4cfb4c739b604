"""Elements followed through Slices and Concats, and draws brought back to the initialisers."""

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper, parser

from analysis.graph.sources import find_sources
from analysis.interventions.draws import GateBias, Normal
from analysis.interventions.kit.wiring import Wired, wiring
from analysis.model import check_model

CUT = """
    a = Slice(w, zero, two) b = Slice(w, two, six) joined = Concat<axis = 0>(b, a, v) z = Unsqueeze(joined, zero)
    turned = Transpose<perm = [0, 2, 1]>(z) read = Reshape(turned, shape)
"""
RANDOM = np.random.default_rng(0)
WEIGHTS = {"w": RANDOM.standard_normal((6, 3)), "v": RANDOM.standard_normal((2, 3))}
NUMBERS = {
    "zero": np.array([0]), "two": np.array([2]), "six": np.array([6]), "shape": np.array([3, 8]),
}  # fmt: skip


def proto(expression: str = CUT, weights: dict[str, np.ndarray] = WEIGHTS, outputs: str = "float[N,8] y") -> bytes:
    """A weight made of two, read by a MatMul."""
    head = f'<ir_version: 8, opset_import: ["": 17]> net (float[N,3] x) => ({outputs})'
    made = parser.parse_model(f"{head} {{ {expression} y = MatMul(x, read) }}")
    tensors = {name: values.astype(np.float32) for name, values in weights.items()} | NUMBERS
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in tensors.items())
    return made.SerializeToString()


def test_what_is_drawn_is_what_the_operator_reads() -> None:
    model = check_model(proto())
    found = wiring(model, find_sources(model), "read")
    assert found is not None
    assert found.shape == (3, 8)
    drawn = Wired([(Normal(1.0), found)])
    again = {name: drawn.realize(name, model.weights[name], 0) for name in WEIGHTS}
    session = onnxruntime.InferenceSession(proto(weights=again, outputs="float[3,8] read"))
    (read,) = session.run(None, {"x": np.zeros((1, 3), np.float32)})
    for name in WEIGHTS:
        places, _ = found.elements[name]
        whole = Normal(1.0).realize(name, np.zeros(found.shape), 0)
        np.testing.assert_array_equal(read.reshape(-1)[places], whole.reshape(-1)[places])
    assert sorted(np.concatenate([places for places, _ in found.elements.values()])) == list(range(24))


def test_elements_that_are_not_read_stay() -> None:
    model = check_model(proto("c = Slice(w, zero, two) d = Concat<axis = 0>(c, c, c, v) read = Transpose(d)"))
    found = wiring(model, find_sources(model), "read")
    assert found is not None
    values = Wired([(Normal(1.0), found)]).realize("w", model.weights["w"], 0)
    np.testing.assert_array_equal(values[2:], model.weights["w"][2:])
    assert not np.isclose(values[:2], model.weights["w"][:2]).any()


def test_of_an_element_that_is_read_twice_the_first_place_counts() -> None:
    """Torch shares the bias of the input with that of the state where both are zero."""
    model = check_model(proto("c = Slice(w, zero, two) d = Concat<axis = 0>(c, c, c, v) read = Transpose(d)"))
    found = wiring(model, find_sources(model), "read")
    assert found is not None
    values = Wired([(GateBias(gates=1, gate=0, value=1.0), found)]).realize("w", model.weights["w"], 0)
    assert (values[:2] == 1.0).all()


@pytest.mark.parametrize("arithmetic", ["Abs(s)", "Mul(s, s)", "CumSum(s, zero)"])
def test_arithmetic_is_not_followed(arithmetic: str) -> None:
    model = check_model(proto(f"s = Concat<axis = 0>(w, v) t = {arithmetic} read = Transpose(t)"))
    assert wiring(model, find_sources(model), "read") is None
