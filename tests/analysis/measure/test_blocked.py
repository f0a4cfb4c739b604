import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

from analysis.diagnosis.causes import diagnose
from analysis.facts import Measurement
from tests.analysis.measure.builders import measured
from tests.gallery import npz


def test_a_layer_that_feeds_only_another_output_is_said_to() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    heads (float[N,4] x) => (float[N,3] first, float[N,2] second) <
        float[4,4] T = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}, float[4,3] A = {1,2,3,4,5,6,7,8,9,1,2,3},
        float[4,2] B = {1,2,3,4,5,6,7,8}> {
        h = MatMul(x, T)
        t = Tanh(h)
        first = MatMul(t, A)
        second = MatMul(t, B)
    }"""
    model = onnx.parser.parse_model(text).SerializeToString()
    x = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    result = measured(model, npz(x=x, target=np.arange(16) % 3))
    assert [stats.leads_to_loss for stats in result.stats] == [True, True, False]
    assert result.stats[2].absent["weight_gradient"] == "no gradient reaches the weight"


@pytest.mark.parametrize("step", ["Greater", "Sign", "ArgMax"])
def test_what_reaches_the_loss_through_a_step_alone_leads_to_it_and_gets_no_gradient(step: str) -> None:
    ends = {
        "Greater": "bits = Greater(h, zero) s = Cast<to = 1>(bits)",
        "Sign": "s = Sign(h)",
        "ArgMax": "best = ArgMax<axis = 1, keepdims = 1>(h) s = Cast<to = 1>(best)",
    }
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    stepped (float[N,4] x) => (float[N,3] y) <
        float[4,4] S = {{1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}}, float[4,4] T = {{1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7}},
        float[4,3] A = {{1,2,3,4,5,6,7,8,9,1,2,3}}, float zero = {{0}}> {{
        h = MatMul(x, S) {ends[step]}
        g = MatMul(x, T) t = Tanh(g) both = Add(t, s)
        y = MatMul(both, A)
    }}"""
    x = np.random.default_rng(0).standard_normal((16, 4)).astype(np.float32)
    result = measured(onnx.parser.parse_model(text).SerializeToString(), npz(x=x, target=np.arange(16) % 3))
    assert all(stats.leads_to_loss for stats in result.stats)
    (finding,) = [finding for finding in diagnose(result) if finding.rule == "GH601"]
    assert finding.layers == (result.layers[0].id,)


WIDTH, SAMPLES = 6, 32


def branched(ends: dict[str, np.ndarray]) -> Measurement:
    """x + B relu(A x) in two blocks, then a head; `ends` replaces weights, and every end has a bias of ones."""
    random = np.random.default_rng(0)
    names = {"A": (WIDTH, WIDTH), "B": (WIDTH, WIDTH), "C": (WIDTH, WIDTH), "D": (WIDTH, WIDTH), "H": (WIDTH, 3)}
    weights = {name: random.standard_normal(shape).astype(np.float32) for name, shape in names.items()} | ends
    weights["ones"] = np.ones(WIDTH, np.float32)
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    branched (float[N,{WIDTH}] x) => (float[N,3] y) {{
        a = MatMul(x, A) r = Relu(a) b0 = MatMul(r, B) b = Add(b0, ones) first = Add(x, b)
        c = MatMul(first, C) s = Relu(c) d0 = MatMul(s, D) d = Add(d0, ones) second = Add(first, d)
        y = MatMul(second, H)
    }}"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    x = np.random.default_rng(1).standard_normal((SAMPLES, WIDTH)).astype(np.float32)
    return measured(model.SerializeToString(), npz(x=x, target=np.arange(SAMPLES) % 3))


def blocking(result: Measurement) -> dict[str, str | None]:
    """Weight -> the weight of the layer that closes every way from it, or to it."""
    matrices = {
        layer.id: layer.parameters["weight"].initializer for layer in result.layers if "weight" in layer.parameters
    }
    return {matrices[each.id]: matrices.get(each.blocked_by or "") for each in result.stats if each.id in matrices}


def test_what_lies_behind_zeros_knows_which_and_the_zeros_themselves_move() -> None:
    zeros = np.zeros((WIDTH, WIDTH), np.float32)
    assert blocking(branched({})) == dict.fromkeys("ABCDH")
    assert blocking(branched({"B": zeros})) == {"A": "B", "B": None, "C": None, "D": None, "H": None}
    assert blocking(branched({"B": zeros, "D": zeros})) == {"A": "B", "B": None, "C": "D", "D": None, "H": None}


def test_a_branch_of_zeros_with_a_bias_is_no_collapse() -> None:
    result = branched({"B": np.zeros((WIDTH, WIDTH), np.float32)})
    (closed,) = [each for each in result.stats if each.absent.get("activation.collapse_log10")]
    assert closed.activation is not None
    assert closed.activation.std == pytest.approx(0.0)
    assert closed.activation.collapse_log10 is None
    assert result.flow.collapse_decades is not None
    assert result.flow.collapse_decades > -2
