"""Activation functions, softmax included. Source: the ONNX operator pages, opset in the decorator."""

import math

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops.arithmetic import also_unsigned
from analysis.convert.registry import Tensor, op


@op("Relu")
def relu(x: Tensor) -> Tensor:
    """max(x, 0); slope 0 at 0."""
    return torch.relu(x)


@op("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    """X where x >= 0, else alpha x."""
    return F.leaky_relu(x, alpha)


@op("PRelu")
def prelu_1(x: Tensor, slope: Tensor) -> Tensor:
    """Before opset 7 one slope per channel, axis 1."""
    if slope.numel() > 1 and slope.ndim == 1 and x.ndim > 1:
        slope = slope.reshape(-1, *[1] * (x.ndim - 2))
    return prelu(x, slope)


@op("PRelu", 7)
@also_unsigned
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """X where x >= 0, else slope x; slope broadcasts to x."""
    return torch.where(x < 0, slope * x, x)


@op("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """X where x >= 0, else alpha (exp(x) - 1)."""
    return F.elu(x, alpha)


@op("Selu")
def selu_1(x: Tensor, *, alpha: float = 1.6732, gamma: float = 1.0507) -> Tensor:
    """Selu with the four-digit defaults of opset 1."""
    return selu(x, alpha=alpha, gamma=gamma)


@op("Selu", 6)
def selu(x: Tensor, *, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323) -> Tensor:
    """Gamma times an Elu (Klambauer 2017)."""
    return gamma * F.elu(x, alpha)


@op("Celu")
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)."""
    return F.celu(x, alpha)


@op("Gelu", 20)
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    """X Phi(x), exactly or by its tanh approximation (Hendrycks 2016)."""
    return F.gelu(x, approximate=approximate)


@op("Sigmoid")
def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return torch.sigmoid(x)


@op("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    """Alpha x + beta, clamped to [0, 1]."""
    return (alpha * x + beta).clamp(0, 1)


@op("HardSwish", 14)
def hard_swish(x: Tensor) -> Tensor:
    """X times a hard sigmoid of slope 1/6."""
    return F.hardswish(x)


@op("Swish", 24)
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """X sigmoid(alpha x)."""
    return F.silu(x) if alpha == 1.0 else x * torch.sigmoid(alpha * x)


@op("Tanh")
def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return torch.tanh(x)


@op("Softplus")
def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)), exact also where torch's own would switch to x."""
    return torch.logaddexp(x, torch.zeros_like(x))


@op("Softsign")
def softsign(x: Tensor) -> Tensor:
    """X / (1 + |x|)."""
    return F.softsign(x)


@op("Mish", 18)
def mish(x: Tensor) -> Tensor:
    """X tanh(softplus(x))."""
    return F.mish(x)


@op("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    """X where x > alpha, else 0."""
    return torch.where(x > alpha, x, torch.zeros_like(x))


@op("ScaledTanh")
def scaled_tanh(x: Tensor, *, alpha: float = 1.0, beta: float = 1.0) -> Tensor:
    """Alpha tanh(beta x)."""
    return alpha * torch.tanh(beta * x)


@op("ParametricSoftplus")
def parametric_softplus(x: Tensor, *, alpha: float, beta: float) -> Tensor:
    """Alpha log(1 + exp(beta x))."""
    return alpha * softplus(beta * x)


@op("Shrink", 9)
@also_unsigned
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    """X shrunk towards 0 by bias outside [-lambd, lambd], else 0."""
    shrunk = torch.where(x > lambd, x - bias, torch.zeros_like(x))
    return torch.where(x < -lambd, x + bias, shrunk).to(x.dtype)


@op("Erf", 9)
def erf(x: Tensor) -> Tensor:
    """Error function; integers are cut towards zero."""
    return torch.erf(x).to(x.dtype)


@op("Clip")
def clip_1(
    x: Tensor, *, max: float = 3.4028234663852886e38, min: float = -3.4028234663852886e38  # noqa: A002 - ONNX names
) -> Tensor:  # fmt: skip
    """Before opset 11 the bounds are attributes."""
    return clip(x, x.new_tensor(min), x.new_tensor(max))


@op("Clip", 11)
@also_unsigned
def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """min(max(x, low), high): high wins where the bounds cross."""
    if low is not None:
        x = torch.maximum(x, low) if low.requires_grad else x.clamp(min=low)
    if high is not None:
        x = torch.minimum(x, high) if high.requires_grad else x.clamp(max=high)
    return x


@op("Softmax")
def softmax_1(x: Tensor, *, axis: int = 1) -> Tensor:
    """Before opset 13 all axes from `axis` on are one."""
    return softmax(_rows(x, axis)).reshape(x.shape)


@op("Softmax", 13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """exp(x) / sum exp(x) along an axis; a row of -inf alone is NaN without gradient, for Where to mend."""
    y = torch.softmax(x, axis)
    if x.ndim and x.shape[axis] and bool(y.detach().select(axis, 0).isnan().any()):
        masked = torch.isneginf(x.detach()).all(axis, keepdim=True)
        return torch.softmax(x.masked_fill(masked, 0.0), axis).masked_fill(masked, math.nan)
    return y


@op("LogSoftmax")
def log_softmax_1(x: Tensor, *, axis: int = 1) -> Tensor:
    """Before opset 13 all axes from `axis` on are one."""
    return torch.log_softmax(_rows(x, axis), -1).reshape(x.shape)


@op("LogSoftmax", 13)
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """Logarithm of softmax, computed stably."""
    return torch.log_softmax(x, axis)


@op("Hardmax")
def hardmax_1(x: Tensor, *, axis: int = 1) -> Tensor:
    """Before opset 13 all axes from `axis` on are one."""
    return hardmax(_rows(x, axis), axis=-1).reshape(x.shape)


@op("Hardmax", 13)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    """1 at the first maximum along an axis, else 0; no gradient."""
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1.0)


def _rows(x: Tensor, axis: int) -> Tensor:
    """[d0 .. dn] as a matrix [d0 .. d(axis-1), d(axis) .. dn]."""
    start = axis % x.ndim if x.ndim else 0
    rows = 1
    for size in x.shape[:start]:
        rows *= size
    return x.reshape(rows, -1)
