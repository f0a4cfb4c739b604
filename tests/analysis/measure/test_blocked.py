import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

from analysis.diagnosis.causes import diagnose
from analysis.facts import Anatomy, Measurement, WeightStats
from analysis.measure.blocked import leading_to_loss, told_what_blocks
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from tests.analysis.diagnosis.builders import stats, with_activation
from tests.analysis.measure.builders import measured
from tests.analysis.text_models import drawn, written
from tests.gallery import he, mlp, npz, vectors


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
    assert [stats.has_slope for stats in result.stats] == [False, True, True]
    (finding,) = [finding for finding in diagnose(result) if finding.rule == "GH601"]
    assert finding.layers == (result.layers[0].id,)


def test_zeros_of_gates_that_are_shut_are_those_of_the_inputs() -> None:
    """At -40,000 a float has no slope left of a sigmoid."""
    text = "(float[N,4] x) => (float[N,3] y)", "g = MatMul(x, S) s = Sigmoid(g) y = MatMul(s, A)"
    model = written(*text, S=np.abs(drawn(4, 6)) + 0.1, A=drawn(6, 3, seed=1))
    x = -40_000 + 600 * np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    result = measured(model, npz(x=x, target=np.arange(40) % 3))
    assert result.stats[0].has_slope
    explained = {finding.rule: finding.caused_by for finding in diagnose(result)}
    assert (explained["GH305"], explained["GH601"]) == ((), ("GH305",))


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


# ------------------------------------------------------------------ dead layers


@pytest.mark.parametrize(("share", "closed"), [(0.98, False), (0.99, False), (0.991, True), (1.0, True), (None, False)])
def test_a_layer_is_all_dead_where_more_than_99_units_in_a_hundred_are(share: float | None, closed: bool) -> None:
    subject = prepare(check_model(mlp(4, "Relu", he())), vectors(), AnalysisOptions())
    known = (stats(1), with_activation(2, dead_fraction=share), stats(3), stats(4))
    told = told_what_blocks(subject, known, Anatomy())
    assert [each.blocked_by for each in told] == ["layer-02" if closed else None] * 4


def test_of_two_dead_layers_each_knows_the_nearer_one() -> None:
    """What lies before a dead layer is cut off by the next one ahead, what lies behind the last by that one."""
    subject = prepare(check_model(mlp(5, "Relu", he())), vectors(), AnalysisOptions())
    dead = [with_activation(place, dead_fraction=1.0) for place in (2, 4)]
    told = told_what_blocks(subject, (stats(1), dead[0], stats(3), dead[1], stats(5)), Anatomy())
    assert [each.blocked_by for each in told] == ["layer-02", "layer-02", "layer-04", "layer-04", "layer-04"]


@pytest.mark.parametrize("dead", [98, 100])
def test_two_living_units_of_a_hundred_let_the_gradient_through(dead: int) -> None:
    shift = np.full(100, -1000, np.float32)
    shift[dead:] = 1.0
    text = "a = MatMul(x, A) z = Add(a, k) r = Relu(z) b = MatMul(r, B) s = Tanh(b) y = MatMul(s, C)"
    weights = {"A": drawn(4, 100), "k": shift, "B": drawn(100, 6), "C": drawn(6, 3)}
    batch = npz(x=drawn(64, 4, seed=1), target=np.arange(64) % 3)
    result = measured(written("(float[N,4] x) => (float[N,3] y)", text, **weights), batch)
    first = result.stats[0]
    assert first.activation is not None
    assert first.activation.dead_fraction == pytest.approx(dead / 100)
    assert first.weight_gradient is not None
    assert (first.weight_gradient.norm > 0) is (dead == 98)
    assert first.blocked_by == (None if dead == 98 else result.layers[0].id)


def test_a_weight_of_zeros_closes_its_layer_and_a_small_one_does_not() -> None:
    subject = prepare(check_model(mlp(3, "Relu", he())), vectors(), AnalysisOptions())
    for norm, blocked in ((0.0, "layer-02"), (1e-30, None)):
        known = (stats(1), stats(2, weight=WeightStats(norm=norm, rms=norm)), stats(3))
        told = told_what_blocks(subject, known, Anatomy())
        assert told[0].blocked_by == blocked


def test_values_that_lead_to_the_loss_are_those_it_is_computed_from_but_for_sizes() -> None:
    text = """
        h = MatMul(x, A) g = Greater(h, zero) c = Cast<to = 1>(g) u = Tanh(h) n = Shape(u) s = Cast<to = 1>(n)
        m = ReduceSum<keepdims = 0>(s) both = Mul(h, c) y = Add(both, m) other = Exp(u)"""
    model = written("(float[N,4] x) => (float[N,3] y)", text, A=drawn(4, 3), zero=np.zeros((), np.float32))
    subject = prepare(check_model(model), npz(x=drawn(8, 4), target=np.arange(8) % 3), AnalysisOptions())
    leading = leading_to_loss(subject)
    assert {"x", "A", "h", "g", "c", "both", "m", "s", "n", "y"} <= leading
    assert "u" not in leading
    assert "other" not in leading


CASCADE = """<ir_version: 8, opset_import: ["" : 17]>
    cascade (float[N,4] x) => (float[N,1] y) <float[4,8] A = {%s}, float[8,1] B = {%s}, float limit = {%s}> {
        a = MatMul(x, A) r = Relu(a) b = MatMul(r, B) score = Sigmoid(b)
        highest = ReduceMax<keepdims = 0>(score)
        high = Greater(highest, limit)
        y = If(high) <
            then_branch = then () => (float[N,1] second) <float[4,8] C = {%s}, float[8,1] D = {%s}> {
                c = MatMul(x, C) s = Relu(c) d = MatMul(s, D) second = Sigmoid(d)
            },
            else_branch = otherwise () => (float[N,1] first) { first = Identity(score) }
        >
    }"""


@pytest.mark.parametrize(("limit", "taken"), [(0.0, True), (1.5, False)])
def test_a_network_whose_branch_no_sample_takes_is_not_accused(limit: float, taken: bool) -> None:
    """Scores lie between 0 and 1, so the limit alone decides which network answers."""
    a, b, c, d = (", ".join(map(str, drawn(*shape).ravel())) for shape in [(4, 8), (8, 1), (4, 8), (8, 1)])
    model = onnx.parser.parse_model(CASCADE % (a, b, limit, c, d)).SerializeToString()
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    result = measured(model, npz(x=x, target=(x[:, :1] > 0).astype(np.float32)))
    assert [each.leads_to_loss for each in result.stats] == [not taken, not taken, taken]
    for each in result.stats:
        assert (each.weight_gradient is not None) is each.leads_to_loss
        assert each.absent.get("weight_gradient", "").startswith("its way to the loss") is not each.leads_to_loss
    assert "GH601" not in {finding.rule for finding in diagnose(result)}
