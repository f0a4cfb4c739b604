import math

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn
from torch.nn import functional as F  # noqa: N812

from analysis.graph.fans import GAINS, fans, gain


def node(op: str, **attributes: object) -> object:
    return helper.make_node(op, ["a", "b", "c", "d"], ["y"], **attributes)


@pytest.mark.parametrize("shape", [(16, 8), (5, 40)])
def test_linear_fans_are_torchs(shape: tuple[int, int]) -> None:
    truth = nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
    assert fans(node("Gemm", transB=1), 1, shape) == truth
    assert fans(node("Gemm"), 1, shape[::-1]) == truth
    assert fans(node("MatMul"), 1, shape[::-1]) == truth
    assert fans(node("MatMul"), 0, shape) == truth
    assert fans(node("Gemm"), 0, shape) == truth
    assert fans(node("Gemm", transA=1), 0, shape[::-1]) == truth


@pytest.mark.parametrize("shape", [(16, 8, 3), (16, 8, 3, 5), (4, 6, 2, 3, 2)])
def test_ungrouped_convolution_fans_are_torchs(shape: tuple[int, ...]) -> None:
    assert fans(node("Conv"), 1, shape) == nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))


def test_recurrent_fans_are_per_gate() -> None:
    assert fans(node("LSTM", hidden_size=16), 1, (1, 64, 8)) == (8, 16)
    assert fans(node("LSTM", hidden_size=16), 2, (1, 64, 16)) == (16, 16)
    assert fans(node("GRU", hidden_size=16), 1, (2, 48, 8)) == (8, 16)
    assert fans(node("RNN", hidden_size=16), 1, (1, 16, 8)) == (8, 16)


def test_every_matrix_of_a_stack_has_the_fans_of_one() -> None:
    truth = nn.init._calculate_fan_in_and_fan_out(torch.empty(16, 8))
    for op in ("MatMul", "FusedMatMul"):
        assert fans(node(op), 0, (5, 7, 16, 8)) == truth
        assert fans(node(op), 1, (5, 7, 8, 16)) == truth


def test_products_of_integers_have_the_fans_of_those_of_floats() -> None:
    for op, slot in (("MatMulInteger", 1), ("QLinearMatMul", 3)):
        assert fans(node(op), slot, (8, 16)) == fans(node("MatMul"), 1, (8, 16))
    for transposed in (0, 1):
        gemm = node("Gemm", transB=transposed)
        assert fans(node("QGemm", transB=transposed), 3, (8, 16)) == fans(gemm, 1, (8, 16))
    for op, slot in (("QLinearConv", 3), ("ConvInteger", 1)):
        strided = {"strides": [2, 2], "group": 2}
        assert fans(node(op, **strided), slot, (8, 4, 3, 3)) == fans(node("Conv", **strided), 1, (8, 4, 3, 3))


def test_an_operator_without_fans_has_none() -> None:
    assert fans(node("Add"), 1, (3, 3)) is None
    assert fans(node("LSTM", hidden_size=4), 3, (1, 32)) is None


def test_a_tensor_too_flat_to_be_a_weight_has_no_fans() -> None:
    assert fans(node("MatMul"), 1, (8,)) is None
    assert fans(node("Conv"), 1, (16, 8)) is None


CONVOLUTIONS = {
    "plain": ("Conv", (32, 16, 3, 3), {}),
    "grouped": ("Conv", (32, 4, 3, 3), {"group": 4}),
    "depthwise": ("Conv", (16, 1, 5, 5), {"group": 16}),
    "strided": ("Conv", (32, 16, 4, 4), {"strides": [2, 2]}),
    "transposed": ("ConvTranspose", (16, 32, 3, 3), {}),
    "transposed grouped": ("ConvTranspose", (16, 8, 3, 3), {"group": 4}),
    "transposed strided": ("ConvTranspose", (16, 32, 4, 4), {"strides": [2, 2]}),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_fans_are_the_measured_variances(name: str) -> None:
    """Unit-variance input, weights of variance one: the output's variance is fan-in, the gradient's is fan-out."""
    op, shape, attributes = CONVOLUTIONS[name]
    random = torch.Generator().manual_seed(0)
    found = fans(node(op, **attributes), 1, shape)
    assert found is not None
    stride, group = attributes.get("strides", [1])[0], attributes.get("group", 1)
    channels = shape[1] * group if op == "Conv" else shape[0]
    x = torch.randn(4, channels, 40, 40, generator=random, requires_grad=True)
    w = torch.randn(shape, generator=random)
    apply = F.conv2d if op == "Conv" else F.conv_transpose2d
    y = apply(x, w, stride=stride, groups=group)
    inner = y[..., 8:-8, 8:-8]
    y.backward(torch.randn(y.shape, generator=random))
    assert x.grad is not None
    assert inner.var().item() == pytest.approx(found.fan_in, rel=0.1)
    assert x.grad[..., 8:-8, 8:-8].var().item() == pytest.approx(found.fan_out, rel=0.1)


@pytest.mark.parametrize(
    ("op", "shape", "attributes"),
    [
        ("Conv", (6, 4, 3), {}),
        ("Conv", (6, 4, 4), {"strides": [2]}),
        ("Conv", (6, 2, 3, 5), {"group": 2}),
        ("Conv", (6, 2, 6, 4), {"group": 3, "strides": [3, 2]}),
        ("Conv", (4, 3, 2, 3, 4), {"strides": [2, 3, 1]}),
        ("ConvTranspose", (6, 4, 3), {}),
        ("ConvTranspose", (6, 4, 4), {"strides": [2]}),
        ("ConvTranspose", (6, 2, 3, 5), {"group": 2}),
        ("ConvTranspose", (6, 2, 6, 4), {"group": 3, "strides": [3, 2]}),
        ("ConvTranspose", (4, 3, 2, 3, 4), {"strides": [2, 3, 1]}),
    ],
)
def test_convolution_fans_are_counted_terms(op: str, shape: tuple[int, ...], attributes: dict) -> None:
    """Of ones and ones an output is the number of its terms, and so is a gradient; averaged over whole strides."""
    group, rank = attributes.get("group", 1), len(shape) - 2
    strides = attributes.get("strides", [1] * rank)
    channels = shape[1] * group if op == "Conv" else shape[0]
    x, w = torch.ones(1, channels, *[18] * rank, requires_grad=True), torch.ones(shape)
    apply = getattr(F, f"conv{'_transpose' if op == 'ConvTranspose' else ''}{rank}d")
    y = apply(x, w, stride=strides, groups=group)
    y.sum().backward()
    assert x.grad is not None
    inner = tuple(slice(size, size + 2 * stride) for size, stride in zip(shape[2:], strides, strict=True))
    outputs = y if op == "Conv" else y[(..., *inner)]
    inputs = x.grad[(..., *inner)] if op == "Conv" else x.grad
    counted = (outputs.detach().mean().item(), inputs.mean().item())
    assert fans(node(op, **attributes), 1, shape) == pytest.approx(counted, rel=1e-6)


def test_stacked_matrices_have_the_fans_of_one() -> None:
    assert fans(node("MatMul"), 1, (7, 3, 5)) == fans(node("FusedMatMul"), 1, (3, 5)) == (3, 5)
    assert fans(node("MatMul"), 0, (7, 5, 3)) == (3, 5)
    assert fans(node("MatMul"), 1, (3,)) is None
    assert fans(node("Gemm"), 1, (7, 3, 5)) is None
    assert fans(node("Conv"), 1, (3, 5)) is None


def test_gains_of_torch_are_torchs() -> None:
    for ours, theirs in (("Relu", "relu"), ("Tanh", "tanh"), ("Selu", "selu"), ("Sigmoid", "sigmoid")):
        assert gain(ours) == pytest.approx(nn.init.calculate_gain(theirs))
    assert gain("LeakyRelu") == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.01))
    assert gain("PRelu") == pytest.approx(nn.init.calculate_gain("leaky_relu", 0.25))
    assert gain(None) == gain("no such activation") == 1.0


@pytest.mark.parametrize(
    ("name", "function"),
    [("Gelu", F.gelu), ("Swish", F.silu), ("HardSwish", F.hardswish), ("Mish", F.mish), ("Elu", F.elu),
     ("Celu", F.celu), ("Softplus", F.softplus), ("Softsign", F.softsign)],
)  # fmt: skip
def test_other_gains_keep_the_second_moment(name: str, function: object) -> None:
    z = torch.linspace(-10, 10, 400_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    moment = float((function(z) ** 2 * density).sum() * (z[1] - z[0]))  # type: ignore[operator]
    assert GAINS[name] == pytest.approx(1 / math.sqrt(moment), rel=1e-3)
    assert np.isfinite(gain(name))
