import re
from collections.abc import Sequence

import numpy as np
import onnx.parser
import pytest
import torch

from analysis.clock import OutOfTime
from analysis.convert import ops
from analysis.errors import ConversionMismatch
from analysis.facts import Parity, ParityStatus
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.parity import _difference, _evaluate, check_parity
from analysis.subject.preparation import in_float64, prepare
from analysis.subject.subject import Subject
from tests.analysis.text_models import written
from tests.gallery import Draw, he, mlp, normal, npz, vectors, xavier


def parity_of(model: bytes, batch: bytes | None = None) -> Parity:
    return check_parity(prepare(check_model(model), batch or vectors(), AnalysisOptions()))


def test_a_right_translation_is_equal() -> None:
    parity = parity_of(mlp(6, "Relu", he()))
    assert parity.status is ParityStatus.EQUAL  # type: ignore[attr-defined]
    assert parity.max_relative_error < 1e-5  # type: ignore[attr-defined]
    assert parity.reference.startswith("onnxruntime ")  # type: ignore[attr-defined]


def test_a_wrong_translation_is_refused_and_names_the_first_value_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "tanh", lambda x: torch.sinh(x).clamp(-1, 1))
    assert ops.activation.tanh(torch.ones(())) == 1.0
    with pytest.raises(ConversionMismatch) as refused:
        parity_of(mlp(4, "Tanh", xavier()))
    assert refused.value.where == "a0"


def test_outputs_that_were_computed_before_are_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = check_model(mlp(4, "Relu", he()))
    subject = prepare(model, vectors(), AnalysisOptions())
    assert in_float64(subject).evaluated is None
    with monkeypatch.context() as patched:
        patched.setattr(type(subject.converted), "observe", None)
        assert check_parity(subject).status is ParityStatus.EQUAL  # type: ignore[attr-defined]
    monkeypatch.setattr("analysis.subject.preparation.MOST_KEPT", 0)
    assert prepare(model, vectors(), AnalysisOptions()).evaluated is None


def test_a_network_that_amplifies_rounding_is_ill_conditioned_and_goes_on() -> None:
    # tanh with a gain of 12 over 25 layers: chaotic, so float32 rounding decides the output.
    chaotic: Draw = xavier(12.0)
    parity = parity_of(mlp(25, "Tanh", chaotic))
    assert parity.status is ParityStatus.ILL_CONDITIONED  # type: ignore[attr-defined]
    assert "rounding" in parity.detail  # type: ignore[attr-defined]


def test_where_the_budget_ends_before_a_difference_is_explained_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = prepare(check_model(mlp(25, "Tanh", xavier(12.0))), vectors(), AnalysisOptions())

    def look() -> bool:
        raise OutOfTime

    parity = check_parity(subject, look)
    assert parity.status is ParityStatus.UNAVAILABLE  # type: ignore[attr-defined]
    assert "budget_seconds" in parity.detail
    assert parity.max_relative_error > 1e-4  # type: ignore[attr-defined]


def test_a_model_onnxruntime_cannot_run_is_unavailable() -> None:
    old = onnx.load_model_from_string(mlp(3, "Relu", he()))
    old.opset_import[0].version = 6
    for node in old.graph.node:
        if node.op_type == "Gemm":
            node.attribute.append(onnx.helper.make_attribute("broadcast", 1))
    parity = parity_of(old.SerializeToString())
    assert parity.status is ParityStatus.UNAVAILABLE  # type: ignore[attr-defined]
    assert "onnxruntime cannot run it" in parity.detail  # type: ignore[attr-defined]


@pytest.mark.parametrize("activation", ["Elu", "Selu", "Celu"])
def test_small_values_that_onnxruntime_rounds_near_one_are_no_wrong_translation(activation: str) -> None:
    """Its kernel computes exp(x) - 1: of x = -1e-6 a tenth is lost."""
    random = np.random.default_rng(0)
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> tiny (float[N,4] x) => (float[N,3] y)
        {{ h = MatMul(x, W) a = {activation}(h) y = MatMul(a, V) }}"""
    )
    give(model, W=random.standard_normal((4, 8)), V=random.standard_normal((8, 3)))
    batch = npz(x=1e-5 * random.standard_normal((16, 4)).astype(np.float32))
    parity = parity_of(model.SerializeToString(), batch)
    assert parity.status is ParityStatus.ILL_CONDITIONED
    assert activation in parity.detail


@pytest.mark.parametrize("scale", [1e-3, 1e-4, 3e-5])
def test_what_onnxruntime_rounds_near_one_may_grow_through_forty_layers(scale: float) -> None:
    """Each ELU on its own is within the tolerance; torch's float32 is a hundred times nearer to float64."""
    assert parity_of(deep_elu(0), npz(x=deep_input(0, scale))).status is ParityStatus.ILL_CONDITIONED


SQUASHING = {
    "Sigmoid": "a = Sigmoid(h)",
    "Swish": "s = Sigmoid(h) a = Mul(h, s)",
    "QuickGelu": "a = com.microsoft.QuickGelu(h)",
}


@pytest.mark.parametrize("activation", SQUASHING)
@pytest.mark.parametrize("depth", [1, 6])
def test_units_that_their_bias_turns_off_are_no_wrong_translation(activation: str, depth: int) -> None:
    """onnxruntime computes a sigmoid as a fraction + 0.5: of 3e-4, at a bias of -8, five digits are left."""
    parity = parity_of(stack(SQUASHING[activation], depth), npz(x=deep_input(0, 0.1)))
    assert parity.status is ParityStatus.ILL_CONDITIONED


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize(("weights", "bias"), [(0.1, -8.0), (0.0025, 0.0)])
def test_gates_that_are_closed_or_cells_of_tiny_weights_are_no_wrong_translation(
    cell: str, weights: float, bias: float
) -> None:
    parity = parity_of(recurrent(cell, weights, bias), npz(x=steps()))
    assert parity.status in {ParityStatus.EQUAL, ParityStatus.ILL_CONDITIONED}


def test_every_step_of_a_recurrent_node_rounds_small_states_near_one() -> None:
    """Fifty steps of inputs of 3e-4: what each step loses, the next ones carry on."""
    small = 3e-4 * np.random.default_rng(0).standard_normal((50, 32, 8)).astype(np.float32)
    assert parity_of(recurrent("RNN", 0.25, 0.0, steps="T"), npz(x=small)).status is ParityStatus.ILL_CONDITIONED


def test_values_too_small_for_float32_are_no_wrong_translation() -> None:
    model = mlp(40, "Tanh", normal(0.01), width=64)
    assert parity_of(model).status is ParityStatus.ILL_CONDITIONED


def test_what_onnxruntime_rounds_to_zero_behind_a_sigmoid_is_equal() -> None:
    """sigmoid(-60) is 9e-27; onnxruntime says 0, and the scale of a sigmoid is 1."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> off (float[N,4] x) => (float[N,1] y)
        { h = Gemm(x, W, b) y = Sigmoid(h) }"""
    )
    give(model, W=np.full((4, 1), 0.1), b=np.full(1, -60.0))
    parity = parity_of(model.SerializeToString(), npz(x=np.ones((8, 4), np.float32)))
    assert parity.status is ParityStatus.EQUAL
    assert parity.max_relative_error is not None
    assert parity.max_relative_error < 1e-25


def test_where_all_of_the_reference_is_zero_the_scale_is_that_of_what_it_was_made_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A ReLU that onnxruntime finds closed, and torch open by a rounding of the numbers that went into it."""
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]> shut (float[N,4] x) => (float[N,4] y)
        { h = Mul(x, W) y = Relu(h) }"""
    )
    give(model, W=np.full(4, -100.0))

    def off(subject: Subject, extra: Sequence[str], **how: bool) -> dict[str, np.ndarray]:
        return {name: value + 1e-5 * (name == "y") for name, value in _evaluate(subject, extra, **how).items()}

    monkeypatch.setattr("analysis.subject.parity._evaluate", off)
    parity = parity_of(model.SerializeToString(), npz(x=np.ones((8, 4), np.float32)))
    assert parity.status is ParityStatus.EQUAL
    assert parity.max_relative_error == pytest.approx(1e-7, rel=1e-3)


def test_how_far_float32_itself_is_off_is_told_apart_from_what_onnxruntime_rounds() -> None:
    chaotic, rounded = (
        parity_of(mlp(40, "Tanh", normal(0.01), width=64)),
        parity_of(deep_elu(0), npz(x=deep_input(0, 1e-3))),
    )
    assert rounded.own_relative_error is not None
    assert rounded.own_relative_error < 1e-4
    assert chaotic.own_relative_error is not None
    assert chaotic.own_relative_error > 1e-4


def chain(depth: int) -> Parity:
    """Nothing but tanh, behind one matrix."""
    nodes = " ".join(f"t{place + 1} = Tanh(t{place})" for place in range(depth))
    text = f"""<ir_version: 8, opset_import: ["" : 17]> deep (float[N,4] x) => (float[N,4] t{depth})
        <float[4,4] W = {{{",".join(["1"] * 16)}}}> {{ t0 = MatMul(x, W) {nodes} }}"""
    x = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    return parity_of(onnx.parser.parse_model(text).SerializeToString(), npz(x=x, target=np.arange(8) % 4))


def test_roundings_to_one_side_add_up_over_thousands_of_nodes() -> None:
    """onnxruntime approximates tanh; how well depends on the processor, so both may agree as well."""
    found = chain(3000)
    assert found.status in {ParityStatus.EQUAL, ParityStatus.ILL_CONDITIONED}
    assert found.status is ParityStatus.EQUAL or "rounding in each of" in found.detail


def test_what_is_wrong_by_more_than_roundings_is_refused_however_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    tanh = torch.tanh
    monkeypatch.setattr(torch, "tanh", lambda x: tanh(x) * (1 - 1e-5))
    with pytest.raises(ConversionMismatch):
        chain(1000)


def test_a_difference_that_does_not_recur_is_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    once = iter([1 + 2e-4])

    def perturbed(subject: Subject, extra: Sequence[str], **how: bool) -> dict[str, np.ndarray]:
        factor = next(once, 1.0)
        return {name: value * factor for name, value in _evaluate(subject, extra, **how).items()}

    monkeypatch.setattr("analysis.subject.parity._evaluate", perturbed)
    found = parity_of(mlp(6, "Relu", he()))
    assert found.status is ParityStatus.ILL_CONDITIONED
    assert "second run" in found.detail


def test_a_wrong_sigmoid_is_still_a_wrong_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    sigmoid = torch.sigmoid
    monkeypatch.setattr(torch, "sigmoid", lambda x: sigmoid(x) * (1 + 2e-3))
    with pytest.raises(ConversionMismatch):
        parity_of(stack(SQUASHING["Sigmoid"], 6), npz(x=deep_input(0, 0.1)))


def log_power(window: int) -> bytes:
    """log10 of the power in each bin, as the front of a speech model has it."""
    return written(
        "(float[N, 4000] x) => (float[N, T, B] y)",
        """
        spectrum = STFT(x, hop, window)
        power = ReduceSumSquare<axes: ints = [-1], keepdims: int = 0>(spectrum)
        mixed = MatMul(power, w)
        kept = Clip(mixed, least)
        y = Log(kept)
        """,
        hop=np.array(160),
        window=np.hanning(window).astype(np.float32),
        w=np.eye(window // 2 + 1, dtype=np.float32)[:, ::7],
        least=np.float32(1e-9),
    )


def tones() -> bytes:
    """Loud at low frequencies, a thousandth of that elsewhere."""
    time, random = np.arange(4000) / 16_000, np.random.default_rng(0)
    tone = np.sin(2 * np.pi * random.uniform(200, 300, (8, 1)) * time)
    return npz(x=(tone + 1e-3 * random.standard_normal(tone.shape)).astype(np.float32))


@pytest.mark.parametrize("window", [320, 400, 512])
def test_small_bins_that_a_fourier_transform_rounds_near_the_largest_are_no_wrong_translation(window: int) -> None:
    assert parity_of(log_power(window), tones()).status in {ParityStatus.EQUAL, ParityStatus.ILL_CONDITIONED}  # type: ignore[attr-defined]


def test_a_wrong_fourier_transform_is_still_a_wrong_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    transform = torch.fft.rfft
    monkeypatch.setattr(torch.fft, "rfft", lambda *given, **named: transform(*given, **named).conj() * (1 + 2e-2))
    with pytest.raises(ConversionMismatch):
        parity_of(log_power(400), tones())


def test_a_wrong_cell_is_still_a_wrong_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    lstm = torch._VF.lstm
    monkeypatch.setattr(torch._VF, "lstm", lambda *given: tuple(each * (1 + 2e-3) for each in lstm(*given)))
    with pytest.raises(ConversionMismatch):
        parity_of(recurrent("LSTM", 0.1, 0.0), npz(x=steps()))


def steps() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((12, 32, 8)).astype(np.float32)


def stack(activation: str, depth: int) -> bytes:
    """Layers of 32 units whose bias is -8, and a head."""
    random = np.random.default_rng(0)
    layers = "".join(
        f"h{place} = Gemm(a{place - 1}, W{place}, b) {numbered(activation, place)} " for place in range(1, depth + 1)
    ).replace("a0", "x")
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17, "com.microsoft": 1]> off (float[N,32] x) => (float[N,3] y)
        {{ {layers} y = MatMul(a{depth}, V) }}"""
    )
    weights = {f"W{place}": 0.2 * random.standard_normal((32, 32)) for place in range(1, depth + 1)}
    give(model, **weights, V=random.standard_normal((32, 3)), b=np.full(32, -8.0))
    return model.SerializeToString()


def numbered(nodes: str, place: int) -> str:
    """The values of one layer."""
    return re.sub(r"\b([ahs])\b(?!\()", rf"\g<1>{place}", nodes)


def recurrent(cell: str, weights: float, bias: float, steps: str = "12") -> bytes:
    """Three layers of 16 units; the last step is read."""
    random, gates = np.random.default_rng(0), {"LSTM": 4, "GRU": 3, "RNN": 1}[cell]
    layers = "".join(
        f"Y{place} = {cell} <hidden_size = 16> (x{place}, W{place}, R{place}, B) x{place + 1} = Squeeze(Y{place}, one) "
        for place in range(3)
    ).replace("(x0", "(x")
    model = onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["" : 17]> cells (float[{steps},N,8] x) => (float[N,3] y)
        <int64[1] one = {{1}}, int64 last = {{-1}}>
        {{ {layers} h = Gather <axis = 0> (x3, last) y = MatMul(h, V) }}"""
    )
    for place, size in enumerate((8, 16, 16)):
        give(model, **{f"W{place}": weights * random.standard_normal((1, gates * 16, size))})
        give(model, **{f"R{place}": weights * random.standard_normal((1, gates * 16, 16))})
    give(model, B=np.full((1, 2 * gates * 16), bias / 2), V=random.standard_normal((16, 3)))
    return model.SerializeToString()


def give(model: onnx.ModelProto, **weights: np.ndarray) -> None:
    """Initialisers."""
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))


def test_a_wrong_elu_is_still_a_wrong_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    elu = torch.nn.functional.elu
    monkeypatch.setattr(torch.nn.functional, "elu", lambda x, *more, **how: elu(x, *more, **how) * (1 + 3e-4))
    with pytest.raises(ConversionMismatch):
        parity_of(deep_elu(0), npz(x=deep_input(0, 1e-3)))


def deep_input(seed: int, scale: float) -> np.ndarray:
    return scale * np.random.default_rng(seed).standard_normal((64, 32)).astype(np.float32)


def deep_elu(seed: int) -> bytes:
    return mlp(40, "Elu", he(), seed=seed, width=32)


def test_what_was_mended_on_the_way_in_is_what_onnxruntime_runs() -> None:
    weight = ", ".join(str(0.1 * place) for place in range(16))
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["": 17]> net (float[N,4] x) => (float[N,2] y)
        <float[4,4] w = {{ {weight} }}> {{
            h = MatMul (x, w)
            a, b = Split <axis = 1, num_outputs = 2> (h)
            y = Mul (a, b)
        }}""")
    batch = npz(x=np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    parity = parity_of(model.SerializeToString(), batch)
    assert parity.status is ParityStatus.EQUAL  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("ours", "theirs", "relative"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([np.nan, np.inf, 1.0], [np.nan, np.inf, 1.0], 0.0),
        ([np.nan, 1.0], [1.0, 1.0], np.inf),
        ([np.inf], [-np.inf], np.inf),
        ([0.0], [0.0], 0.0),
        ([], [], 0.0),
    ],
)
def test_differences_are_over_the_scale_and_equal_non_finites_are_equal(
    ours: list[float], theirs: list[float], relative: float
) -> None:
    assert _difference(np.array(ours), np.array(theirs))[1] == relative


def test_outputs_of_another_shape_differ() -> None:
    assert _difference(np.zeros(3), np.zeros(4)) == (np.inf, np.inf)


def test_all_outputs_are_compared_and_integers_too() -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]>
    both (float[N,4] x) => (float[N,3] scores, int64[N,1] best) <float[4,3] W = {1,2,3,4,5,6,7,8,9,1,2,3}> {
        scores = MatMul(x, W)
        best = ArgMax <axis = 1> (scores)
    }"""
    x = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    parity = parity_of(onnx.parser.parse_model(text).SerializeToString(), npz(x=x, target=np.arange(8) % 3))
    assert parity.status is ParityStatus.EQUAL  # type: ignore[attr-defined]


EDGES = {
    "pixels": ("s = Sigmoid(l) m = Mul(s, byte) y = Cast <to = 2> (m)", "uint8[N,3] y"),
    "labels": ("y = ArgMax <axis = 1> (l)", "int64[N,1] y"),
    "steps": ("r = Round(l) y = Add(l, r)", "float[N,3] y"),
    "rows": ("v, i = TopK <axis = 1> (l, one) f = Cast <to = 1> (i) y = Mul(f, v)", "float[N,1] y"),
    "choices": ("g = Greater(l, zero) n = NonZero(g) t = Transpose(n) y = GatherND(l, t)", "float[M] y"),
}


def on_edges(name: str, x: np.ndarray) -> tuple[bytes, bytes]:
    """Numbers that stand on an edge: x W is a whole number of halves, or nearly."""
    nodes, output = EDGES[name]
    text = f"""<ir_version: 8, opset_import: ["" : 17]> edge (float[N,4] x) => ({output})
        <float[4,3] W = {{1,1,1,1,1,1,1,1,1,1,1,1}}, float byte = {{255}}, float zero = {{0}}, int64[1] one = {{1}}>
        {{ l = MatMul(x, W) {nodes} }}"""
    return onnx.parser.parse_model(text).SerializeToString(), npz(x=x)


HALVES = np.array([[0.5, 0, 0, 0], [1.5, 0, 0, 0], [0, 0, 0, 0], [-0.5, 0, 0, 0]], np.float32)


@pytest.mark.parametrize("name", EDGES)
def test_a_rounding_that_decides_on_a_whole_number_is_no_wrong_translation(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = on_edges(name, HALVES)
    matmul = torch.matmul
    slope = torch.tensor([-3e-7, 0.0, 3e-7])
    monkeypatch.setattr(torch, "matmul", lambda a, b: matmul(a, b) + slope)
    subject = prepare(check_model(model), batch, AnalysisOptions())
    parity = check_parity(subject)
    assert parity.status is ParityStatus.EQUAL
    assert parity.max_relative_error < 1e-5
    if name != "pixels":
        assert "a rounding decides" in parity.detail


@pytest.mark.parametrize(("name", "function"), [("pixels", "sigmoid"), ("labels", "matmul"), ("steps", "matmul")])
def test_a_whole_number_of_something_else_is_a_wrong_translation(
    name: str, function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = on_edges(name, HALVES)
    right = getattr(torch, function)
    monkeypatch.setattr(torch, function, lambda *given: right(*given) * torch.tensor([0.97, 1.0, 1.03]))
    with pytest.raises(ConversionMismatch):
        check_parity(prepare(check_model(model), batch, AnalysisOptions()))


def test_tensors_in_a_sequence_are_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text = """<ir_version: 8, opset_import: ["" : 17]> two (float[N,4] x) => (seq(float[N,3]) y)
        <float[4,3] W = {1,2,3,4,5,6,7,8,9,1,2,3}> { a = MatMul(x, W) b = Tanh(a) y = SequenceConstruct(a, b) }"""
    model = onnx.parser.parse_model(text).SerializeToString()
    batch = npz(x=np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32))
    parity = parity_of(model, batch)
    assert (parity.status, parity.max_absolute_error > 0) == (ParityStatus.EQUAL, True)
    tanh = torch.tanh
    monkeypatch.setattr(torch, "tanh", lambda x: tanh(x) * 0.99)
    with pytest.raises(ConversionMismatch):
        parity_of(model, batch)


def of_bytes(seed: int) -> tuple[bytes, bytes]:
    """An LSTM that quantises its states anew at every step, behind nothing or a product, and a batch for it."""
    random = np.random.default_rng(seed)
    text = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
        net (float[N,16,24] x) => (float[] y) {
            t = Transpose<perm: ints = [1,0,2]>(x)
            h = com.microsoft.DynamicQuantizeLSTM<hidden_size: int = 64>(t, w, r, b, , , , , ws, wz, rs, rz)
            s = Squeeze(h, one) y = MatMul(s, v) }"""
    model = onnx.parser.parse_model(text)
    tensors = {
        "w": random.integers(-127, 128, (1, 24, 256), dtype=np.int8),
        "r": random.integers(-127, 128, (1, 64, 256), dtype=np.int8),
        "b": random.standard_normal((1, 512)).astype(np.float32),
        "v": random.standard_normal((64, 4)).astype(np.float32),
        **{name: np.full(1, 0.01, np.float32) for name in ("ws", "rs")},
        **{name: np.zeros(1, np.int8) for name in ("wz", "rz")},
        "one": np.array([1]),
    }
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in tensors.items())
    return model.SerializeToString(), npz(x=random.standard_normal((24, 16, 24)).astype(np.float32))


@pytest.mark.parametrize("seed", range(8))
def test_states_that_are_quantised_at_every_step_are_no_wrong_translation(seed: int) -> None:
    """Of one rounding a number may become another byte, which is a two hundred and fifty-fifth of the range."""
    assert parity_of(*of_bytes(seed)).status in {ParityStatus.EQUAL, ParityStatus.ILL_CONDITIONED}


def test_a_wrong_product_of_bytes_is_still_a_wrong_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    product = ops.contrib_quantized._dynamic_product
    monkeypatch.setattr(ops.contrib_quantized, "_dynamic_product", lambda *given: product(*given) * 1.5)
    with pytest.raises(ConversionMismatch):
        parity_of(*of_bytes(0))


def test_what_quantises_by_its_range_is_read_a_little_off_and_weights_are_not() -> None:
    """An input of the graph, too; the slope of an output that is linear in the range tells by how much."""
    text = """<ir_version: 8, opset_import: ["": 17]> net (float[N,3] x) => (float q, float p) {
        a, q, i = DynamicQuantizeLinear(x)
        m = MatMul(x, w)
        b, p, j = DynamicQuantizeLinear(m)
        c, o, k = DynamicQuantizeLinear(w) }"""
    model = onnx.parser.parse_model(text)
    give(model, w=np.eye(3, dtype=np.float32))
    subject = prepare(
        check_model(model.SerializeToString()),
        npz(x=np.random.default_rng(0).standard_normal((32, 3)).astype(np.float32)),
        AnalysisOptions(),
    )
    plain, off = _evaluate(in_float64(subject), ()), _evaluate(in_float64(subject), (), stretched=0.25)
    assert off["q"] == pytest.approx(1.25 * plain["q"])
    assert off["p"] == pytest.approx(1.25**2 * plain["p"])  # its own, and that of the input
