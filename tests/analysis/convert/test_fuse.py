import io
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper, parser
from torch import nn

from analysis.convert import convert
from analysis.convert.fuse import find_fusions, writes_normalization
from analysis.model import CheckedModel, check_model

RANDOM = np.random.default_rng(20261124)
WEIGHTS = {
    "scale": RANDOM.uniform(0.5, 1.5, 6), "bias": RANDOM.normal(size=6), "wide": RANDOM.normal(size=(4, 6)),
    "one": 1.0, "two": 2.0, "three": 3.0, "half": 0.5, "minus_half": -0.5, "epsilon": 1e-3, "root_two": np.sqrt(2),
    "inverse_root_two": np.sqrt(0.5), "cubic": 0.044715, "slope": np.sqrt(2 / np.pi), "axis": np.array([-1]),
}  # fmt: skip
LAYER_NORM = """
    m = ReduceMean <axes = [-1]> (x)
    d = Sub (x, m)
    s = Pow (d, two)
    v = ReduceMean <axes = [-1]> (s)
    a = Add (v, epsilon)
    r = Sqrt (a)
"""
RMS = "s = Mul (x, x)\n v = ReduceMean <axes = [-1]> (s)\n a = Add (epsilon, v)\n"
ERF = "e = Erf (Scaled)\n u = Add (e, one)\n"
TANH = """
    p = Pow (x, three)
    q = Mul (p, cubic)
    i = Add (x, q)
    j = Mul (i, slope)
    e = Tanh (j)
    u = Add (e, one)
"""


def model(nodes: str, outputs: str = "float[2,3,6] y", opset: int = 13) -> CheckedModel:
    """x [2, 3, 6] through these nodes; every name that is not written is a weight."""
    text = f'<ir_version: 8, opset_import: ["": {opset}]> net (float[2,3,6] x) => ({outputs}) {{ {nodes} }}'
    proto: ModelProto = parser.parse_model(text)
    read = {name for node in proto.graph.node for name in node.input}
    for name in sorted(read & WEIGHTS.keys()):
        array = np.asarray(WEIGHTS[name])
        proto.graph.initializer.append(
            numpy_helper.from_array(array.astype(np.int64 if name == "axis" else np.float32), name)
        )
    return check_model(proto.SerializeToString())


def names(checked: CheckedModel) -> list[str]:
    return [fusion.node.op_type for fusion in find_fusions(checked)]


WRITTEN_OUT = {
    "layer norm": (LAYER_NORM + "n = Div (d, r)\n g = Mul (n, scale)\n y = Add (g, bias)", "LayerNormalization"),
    "layer norm, the other way round": (
        LAYER_NORM.replace("Pow (d, two)", "Mul (d, d)") + "n = Div (d, r)\n g = Mul (scale, n)\n y = Add (bias, g)",
        "LayerNormalization",
    ),
    "layer norm by a reciprocal": (
        LAYER_NORM + "i = Reciprocal (r)\n n = Mul (d, i)\n g = Mul (n, scale)\n y = Add (g, bias)",
        "LayerNormalization",
    ),
    "rms norm": (RMS + "r = Sqrt (a)\n n = Div (x, r)\n y = Mul (scale, n)", "RMSNormalization"),
    "rms norm by division": (
        RMS + "r = Sqrt (a)\n i = Div (one, r)\n n = Mul (x, i)\n y = Mul (n, scale)", "RMSNormalization",
    ),
    "rms norm by a power": (RMS + "i = Pow (a, minus_half)\n n = Mul (i, x)\n y = Mul (n, scale)", "RMSNormalization"),
    "gelu": ("Scaled = Div (x, root_two)\n" + ERF + "h = Mul (x, u)\n y = Mul (h, half)", "Gelu"),
    "gelu, half first": ("Scaled = Mul (x, inverse_root_two)\n" + ERF + "h = Mul (x, half)\n y = Mul (h, u)", "Gelu"),
    "gelu, half inside": ("Scaled = Div (x, root_two)\n" + ERF + "h = Mul (half, u)\n y = Mul (h, x)", "Gelu"),
    "tanh gelu": (TANH + "h = Mul (x, half)\n y = Mul (h, u)", "Gelu"),
    "tanh gelu by products": (
        TANH.replace("p = Pow (x, three)", "xx = Mul (x, x)\n p = Mul (x, xx)") + "h = Mul (x, half)\n y = Mul (h, u)",
        "Gelu",
    ),
    "swish": ("s = Sigmoid (x)\n y = Mul (s, x)", "Swish"),
    "softmax": (
        "m = ReduceMax <axes = [2]> (x)\n d = Sub (x, m)\n e = Exp (d)\n s = ReduceSum (e, axis)\n y = Div (e, s)",
        "Softmax",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WRITTEN_OUT))
def test_a_decomposition_is_found_and_changes_no_value(name: str) -> None:
    nodes, operator = WRITTEN_OUT[name]
    checked = model(nodes)
    assert names(checked) == [operator]
    assert len(find_fusions(checked)[0].replaced) == len(checked.nodes)
    module = convert(checked)
    assert len(module.steps) == 1
    x = RANDOM.normal(size=(2, 3, 6)).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(checked.source).run(None, {"x": x})
    with torch.no_grad():
        np.testing.assert_allclose(module(torch.from_numpy(x))[0].numpy(), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", list(WRITTEN_OUT))
def test_its_gradients_are_those_of_the_nodes_themselves_and_of_finite_differences(name: str) -> None:
    checked = model(WRITTEN_OUT[name][0])
    module = convert(checked, precision=torch.float64)
    x = torch.from_numpy(RANDOM.normal(size=(2, 3, 6))).requires_grad_()
    cotangent = torch.from_numpy(RANDOM.normal(size=(2, 3, 6)))
    wanted = [x, *module.parameters()]

    def apart(value: torch.Tensor) -> torch.Tensor:
        everything = {output: [lambda _: None] for node in checked.nodes for output in node.output}
        return module.observe([value], everything)[0]

    together = torch.autograd.grad(module(x), wanted, cotangent)
    for one, other in zip(together, torch.autograd.grad(apart(x), wanted, cotangent), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)  # sqrt(2) is a float32
    assert torch.autograd.gradcheck(lambda value: module(value)[0], [x])


@pytest.mark.parametrize("name", list(WRITTEN_OUT))
def test_a_normalization_that_is_written_out_is_told_whatever_scales_it(name: str) -> None:
    nodes, operator = WRITTEN_OUT[name]
    normalizes = operator.endswith("Normalization")
    assert writes_normalization(model(nodes)) is normalizes
    by_data = nodes.replace("scale", "x")
    assert writes_normalization(model(by_data)) is normalizes
    assert names(model(by_data)) == ([] if normalizes else [operator])


def test_axes_are_found_behind_the_reshape_that_torch_writes() -> None:
    nodes, operator = WRITTEN_OUT["softmax"]
    reshaped = "axes = Reshape (axis, axis)\n" + nodes.replace("ReduceSum (e, axis)", "ReduceSum (e, axes)")
    assert names(model(reshaped)) == [operator]


NOT_TOGETHER = {
    "a value between is an output": (WRITTEN_OUT["swish"][0], "float[2,3,6] y, float[2,3,6] s"),
    "a value between is read elsewhere": (
        "s = Sigmoid (x)\n p = Mul (s, x)\n t = Tanh (s)\n y = Add (p, t)", "float[2,3,6] y",
    ),
    "another constant": (WRITTEN_OUT["gelu"][0].replace("half", "two"), "float[2,3,6] y"),
    "another axis": (WRITTEN_OUT["layer norm"][0].replace("-1", "1"), "float[2,3,6] y"),
    "two axes": (WRITTEN_OUT["layer norm"][0].replace("-1", "1, 2"), "float[2,3,6] y"),
    "another value is gated": ("t = Tanh (x)\n s = Sigmoid (t)\n y = Mul (s, x)", "float[2,3,6] y"),
    "numerator and denominator differ": (
        "m = ReduceMax <axes = [2]> (x)\n d = Sub (x, m)\n e = Exp (d)\n s = ReduceSum (x, axis)\n y = Div (e, s)",
        "float[2,3,6] y",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(NOT_TOGETHER))
def test_what_only_looks_alike_stays_apart(name: str) -> None:
    nodes, outputs = NOT_TOGETHER[name]
    checked = model(nodes, outputs)
    assert names(checked) == []
    x = RANDOM.normal(size=(2, 3, 6)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(checked.source).run(None, {"x": x})
    with torch.no_grad():
        for got, want in zip(convert(checked)(torch.from_numpy(x)), wanted, strict=True):
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-6)


def test_a_mean_over_another_axis_is_no_layer_norm_but_what_follows_may_be_an_rms_norm() -> None:
    assert names(model(WRITTEN_OUT["layer norm"][0].replace("-1", "1", 1))) == ["RMSNormalization"]


def test_a_scale_for_every_position_stays_apart() -> None:
    nodes = WRITTEN_OUT["layer norm"][0].replace("scale", "wide").replace("bias", "wide")
    text = model(nodes.replace("y = Add", "y = Sub"), "float[N,M,6] y")
    assert names(text) == []


def test_a_trained_number_is_never_taken_for_a_constant() -> None:
    checked = model(WRITTEN_OUT["gelu"][0])
    module = convert(checked, train=["half"])
    assert len(module.steps) > 1
    x = torch.ones(2, 3, 6)
    (gradient,) = torch.autograd.grad(module(x)[0].sum(), [module.initializers["half"]])
    torch.testing.assert_close(gradient, 2 * torch.nn.functional.gelu(x).sum(), rtol=1e-5, atol=1e-5)


def test_whoever_looks_between_sees_every_value_and_others_see_the_result_alone() -> None:
    checked = model(WRITTEN_OUT["layer norm"][0])
    module = convert(checked)
    x = torch.from_numpy(RANDOM.normal(size=(2, 3, 6)).astype(np.float32))
    seen: dict[str, torch.Tensor] = {}

    def note(name: str):
        return [lambda value: seen.__setitem__(name, value)]

    module.observe([x], {"m": note("m"), "y": note("y")})
    torch.testing.assert_close(seen["m"], x.mean(-1, keepdim=True))
    torch.testing.assert_close(seen["y"], module(x)[0])


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(8), nn.Linear(8, 8)
        self.activations = nn.Sequential(nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activations(self.linear(self.norm(x)))


@pytest.mark.parametrize(
    ("opset", "expected"),
    [
        (9, ["LayerNormalization", "Gelu", "Gelu", "Swish"]),
        (13, ["LayerNormalization", "Gelu", "Gelu", "Swish"]),
        (17, ["Gelu", "Gelu", "Swish"]),
        (20, ["Swish"]),
    ],
)
def test_what_torch_exports_is_found_and_keeps_the_gradients_of_the_module(opset: int, expected: list[str]) -> None:
    torch.manual_seed(0)
    module, x = Block().eval(), torch.randn(4, 3, 8)
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x,), file, dynamo=False, opset_version=opset)
    checked = check_model(file.getvalue())
    assert names(checked) == expected
    converted = convert(checked)
    module(x).square().sum().backward()
    converted(x)[0].square().sum().backward()
    gradients = sorted(parameter.grad.norm() for parameter in converted.parameters())
    torch.testing.assert_close(
        gradients, sorted(each.grad.norm() for each in module.parameters()), rtol=1e-5, atol=1e-6
    )


def test_a_number_is_read_whatever_its_shape() -> None:
    checked = model(WRITTEN_OUT["gelu"][0])
    proto = ModelProto.FromString(checked.source)
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(helper.make_tensor(tensor.name, 1, [1, 1, 1], numpy_helper.to_array(tensor).reshape(1)))
    assert names(check_model(proto.SerializeToString())) == ["Gelu"]
