"""Networks in float16, as converters of weights write them: their gradients are those of the numbers they hold.

Truth: onnxruntime for the outputs; central differences in float64 for the gradients.
"""

from itertools import pairwise

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, numpy_helper, parser

from analysis.convert import DifferentiableModel, convert
from analysis.errors import ConversionMismatch
from analysis.facts import ParityStatus
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.parity import check_parity
from analysis.subject.preparation import prepare
from tests.gallery import npz

RANDOM = np.random.default_rng(20261126)
ERF_GELU = "a = Div(h, root) b = Erf(a) c = Add(b, one) d = Mul(h, c) g = Mul(d, half)"
TANH_GELU = """
    a = Pow(h, three) b = Mul(a, small) c = Add(h, b) d = Mul(c, slope) e = Tanh(d) f = Add(e, one)
    i = Mul(h, f) g = Mul(i, half)"""
NUMBERS = {"root": 1.4142135, "one": 1.0, "half": 0.5, "three": 3.0, "small": 0.044715, "slope": 0.7978845}


def halves(*shape: int, size: float = 1.0) -> np.ndarray:
    return (RANDOM.standard_normal(shape) * size).astype(np.float16)


def network(nodes: str, inputs: str, **weights: np.ndarray | float) -> ModelProto:
    text = f'<ir_version: 10, opset_import: ["" : 23]> half ({inputs}) => (float16[] y) {{ {nodes} }}'
    made = parser.parse_model(text)
    arrays = {name: np.asarray(array, np.float16) for name, array in weights.items()}
    made.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
    return made


def block(gelu: str, filtered: float) -> tuple[ModelProto, np.ndarray]:
    """A transformer block: causal attention of one head between LayerNormalizations, then Gelu."""
    nodes = f"""
        n = LayerNormalization(x, s, o) q = MatMul(n, wq) k = MatMul(n, wk) v = MatMul(n, wv)
        t = Transpose<perm = [0, 2, 1]>(k) l = MatMul(q, t) z = Mul(l, half) w = Add(z, mask) p = Softmax(w)
        u = MatMul(p, v) r = Add(x, u) m = LayerNormalization(r, s, o) h = MatMul(m, wi) {gelu}
        j = MatMul(g, wo) y = Add(r, j)"""
    mask = np.triu(np.full((3, 3), filtered), 1)
    weights = {name: halves(4, 4, size=0.7) for name in ("wq", "wk", "wv")}
    rest = {"s": halves(4), "o": halves(4), "wi": halves(4, 6, size=3), "wo": halves(6, 4, size=0.5), "mask": mask}
    return network(nodes, "float16[N,3,4] x", **weights, **rest, **NUMBERS), halves(2, 3, 4)


def recurrent(op: str, gates: int, **attributes: object) -> tuple[ModelProto, np.ndarray]:
    given = ", ".join([*(f"{name} = {value}" for name, value in attributes.items()), "hidden_size = 3"])
    nodes = f'h = {op}<direction = "bidirectional", {given}>(x, w, r, b) y = ReduceMean<keepdims = 0>(h, axis)'
    made = network(nodes, "float16[5,N,2] x", w=halves(2, 3 * gates, 2), r=halves(2, 3 * gates, 3),
                   b=halves(2, 6 * gates))  # fmt: skip
    made.graph.initializer.append(numpy_helper.from_array(np.array([1, 2]), "axis"))
    return made, halves(5, 2, 2)


def deep(layers: int, gain: float) -> tuple[ModelProto, np.ndarray]:
    values = ["x", *(f"a{n}" for n in range(layers - 1)), "y"]
    nodes = " ".join(
        f"m{n} = MatMul({before}, w{n}) {after} = Tanh(m{n})" for n, (before, after) in enumerate(pairwise(values))
    )
    weights = {f"w{n}": halves(4, 4, size=gain / 2) for n in range(layers)}
    return network(nodes, "float16[N,4] x", **weights), halves(2, 4)


def large_rms(name: str) -> tuple[ModelProto, np.ndarray]:
    """Squares of 300 and more, which float16 does not hold."""
    written = "a = Mul(h, h) c = ReduceMean(a, last) d = Add(c, eps) e = Sqrt(d) f = Div(h, e) y = Mul(f, s)"
    nodes = {
        "written out": written, "RMSNormalization": "y = RMSNormalization(h, s)",
        "LayerNormalization": "y = LayerNormalization(h, s)", "LpNormalization": "f = LpNormalization(h) y = Mul(f, s)",
        "ReduceL2": "f = ReduceL2(h, last) y = Mul(f, s)",
        "GroupNormalization": "f = Reshape(h, four) y = GroupNormalization<num_groups = 2>(f, s, s)",
        "InstanceNormalization": "f = Reshape(h, four) y = InstanceNormalization(f, s, s)",
    }[name]  # fmt: skip
    scale = halves(2 if name[0] in "GI" else 8)
    made = network(f"h = MatMul(x, w) {nodes}", "float16[2,4] x", w=halves(4, 8, size=100), s=scale, eps=1e-5)
    for constant, value in (("last", [1]), ("four", [2, 2, 4])):
        made.graph.initializer.append(numpy_helper.from_array(np.array(value), constant))
    return made, halves(2, 4, size=2)


NETWORKS = {
    "block, Gelu by Erf": block(ERF_GELU, -65504.0), "block, Gelu by Tanh": block(TANH_GELU, -65504.0),
    "block, minus infinity": block(ERF_GELU, -np.inf),
    "LSTM": recurrent("LSTM", 4), "GRU": recurrent("GRU", 3), "RNN": recurrent("RNN", 1),
    "GRU of torch": recurrent("GRU", 3, linear_before_reset=1), "deep": deep(12, 0.7),
    **{
        f"large, {name}": large_rms(name)
        for name in ("written out", "RMSNormalization", "LayerNormalization", "LpNormalization", "ReduceL2",
                     "GroupNormalization", "InstanceNormalization")
    },
}  # fmt: skip


def gradients(module: DifferentiableModel, x: torch.Tensor) -> dict[str, torch.Tensor]:
    x = x.clone().requires_grad_()
    loss(module, x).backward()
    assert x.grad is not None
    return {"x": x.grad, **{name: weight.grad for name, weight in module.initializers.items()}}


def loss(module: DifferentiableModel, x: torch.Tensor) -> torch.Tensor:
    (y,) = module(x)
    cotangent = torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return (y * cotangent.half().to(y.dtype)).sum()


def differences(values: torch.Tensor, module: DifferentiableModel, x: torch.Tensor) -> torch.Tensor:
    """Central differences of the loss, one value after the other."""
    flat, slopes = values.detach().view(-1), []
    for place in range(flat.numel()):
        kept, ends = float(flat[place]), []
        step = 1e-6 * max(1.0, abs(kept))
        with torch.no_grad():
            for end in (kept + step, kept - step):
                flat[place] = end
                ends.append(float(loss(module, x)))
        flat[place] = kept
        slopes.append((ends[0] - ends[1]) / (2 * step))
    return torch.tensor(slopes, dtype=torch.float64).reshape(values.shape)


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_those_of_onnxruntime(name: str) -> None:
    made, x = NETWORKS[name]
    (y,) = convert(check_model(made.SerializeToString()))(torch.from_numpy(x))
    (wanted,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x})
    assert y.dtype is torch.float16
    assert np.isfinite(wanted).all()
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=4e-3, atol=4e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_the_numbers_in_float64(name: str) -> None:
    made, x = NETWORKS[name]
    checked = check_model(made.SerializeToString())
    exact, wide = convert(checked, precision=torch.float64), torch.from_numpy(x).double()
    wanted = {key: differences(exact.initializers[key], exact, wide) for key in exact.initializers}
    wanted["x"] = differences(wide, exact, wide)
    got = gradients(convert(checked), torch.from_numpy(x))
    assert got.keys() == wanted.keys() > {"x"}
    for key, slope in wanted.items():
        scale = float(slope.abs().max())
        torch.testing.assert_close(got[key].double(), slope, rtol=2e-3, atol=2e-3 * scale)


def test_gradients_far_under_the_floor_of_float16_are_measured() -> None:
    made, x = deep(40, 0.4)
    gradient = gradients(convert(check_model(made.SerializeToString())), torch.from_numpy(x))["w0"]
    assert 0 < float(gradient.abs().max()) < 2.0**-24


@pytest.mark.parametrize("element", [10, 16])
def test_a_cast_to_half_precision_keeps_what_it_cannot_hold(element: int) -> None:
    """A mask of the lowest float32, cast: -inf would make a row of nothing but padding NaN, as in no runtime here."""
    text = f"""<ir_version: 10, opset_import: ["" : 20]> g (float[2,3] x, float[2,3] m) => (float[2,3] y) {{
        a = Cast<to = {element}>(x) b = Cast<to = {element}>(m) c = Add(a, b) d = Softmax(c) y = Cast<to = 1>(d) }}"""
    made = parser.parse_model(text)
    lowest = np.finfo(np.float32).min
    x, mask = RANDOM.standard_normal((2, 3)).astype(np.float32), np.array([[0, 0, lowest], [lowest] * 3], np.float32)
    leaf = torch.from_numpy(x).requires_grad_()
    (y,) = convert(check_model(made.SerializeToString()))(leaf, torch.from_numpy(mask))
    (y[0, 0] + y[1, 0]).backward()
    assert bool(torch.isfinite(leaf.grad).all())
    if element == 10:
        (wanted,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"x": x, "m": mask})
        np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-3)


@pytest.mark.parametrize("name", ["block, Gelu by Erf", "LSTM", "large, RMSNormalization", "deep"])
def test_parity_allows_for_half_precision(name: str) -> None:
    made, x = NETWORKS[name]
    parity = check_parity(prepare(check_model(made.SerializeToString()), npz(x=x), AnalysisOptions()))
    assert parity.status is ParityStatus.EQUAL


def test_parity_refuses_a_wrong_translation_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x = deep(3, 1.0)
    monkeypatch.setattr(torch, "tanh", lambda value: torch.sinh(value).clamp(-1, 1))
    with pytest.raises(ConversionMismatch, match="differ"):
        check_parity(prepare(check_model(made.SerializeToString()), npz(x=x), AnalysisOptions()))
