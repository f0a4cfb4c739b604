"""Normalisation and dropout. [N, C, d1 .. dk]; statistics of the batch never overwrite running ones."""

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.registry import Ints, Mode, OutputCount, ReadCount, RunMode, Tensor, op


def _per_channel(x: Tensor, vector: Tensor) -> Tensor:
    return vector.reshape(-1, *[1] * (x.ndim - 2))


@op("BatchNormalization")
def batch_normalization_1(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, epsilon: float = 1e-5,
    is_test: int = 0, momentum: float = 0.9, spatial: int = 1, outputs: OutputCount = 1, read: ReadCount = 1,
    mode: Mode,
) -> Tensor | tuple[Tensor, ...]:  # fmt: skip
    """Before opset 9; spatial = 0 keeps one statistic per position as well."""
    if spatial:
        return batch_normalization(
            x, scale, bias, mean, variance, epsilon=epsilon, momentum=momentum, outputs=1 if is_test else outputs,
            read=read, mode=mode,
        )  # fmt: skip
    if mode.training or (outputs > 1 and not is_test):
        mean, variance = x.mean(0), x.var(0, correction=0)
    return (x - mean) * torch.rsqrt(variance + epsilon) * scale + bias


def _by_the_batch(
    x: Tensor, scale: Tensor, bias: Tensor, epsilon: float, mean: Tensor | None = None,
    variance: Tensor | None = None, momentum: float = 1.0,
) -> Tensor:  # fmt: skip
    """Statistics of x; where a mean and a variance are given they go towards these, the variance unbiased.

    torch's functional form refuses a single value per channel, which standardises to 0.
    """
    enabled = torch.backends.cudnn.enabled
    y = torch.batch_norm(_one_layout(x), scale, bias, mean, variance, True, momentum, epsilon, enabled)  # noqa: FBT003 - torch's
    return _as_laid_out(y, x)


def _as_laid_out(y: Tensor, x: Tensor) -> Tensor:
    """With the axes of x; a view costs a step of the way back, so there is none where nothing changed."""
    return y if y.ndim == x.ndim else y.reshape(x.shape)


def _one_layout(x: Tensor) -> Tensor:
    """X as [N, C, d1 .. dk in one] where a size is 1.

    Such a tensor, or the gradient that comes in, may count as channels-last and as contiguous at once. torch's backward
    for the CPU (2.13) then takes one for the first and the other for the second, and mixes up channels and positions;
    with three axes there is no second layout.
    """
    return x.flatten(2) if x.ndim > 3 and 1 in x.shape else x


@op("BatchNormalization", 9)
def batch_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, epsilon: float = 1e-5,
    momentum: float = 0.9, outputs: OutputCount = 1, read: ReadCount = 1, mode: Mode,
) -> Tensor | tuple[Tensor, ...]:  # fmt: skip
    """Scale and shift of x standardised over N and space: by the batch in training, else by running statistics.

    Before opset 14 a node that declares its statistics as outputs is in the training form.
    """
    if outputs > 1:
        y, *running = _training_form(x, scale, bias, mean, variance, epsilon, momentum, read)
        return (y, *running, *running) if running else y
    if x.ndim == 1:  # the page takes it for a batch of one channel
        return _standardized(x.unsqueeze(1), scale, bias, mean, variance, epsilon, momentum, mode).squeeze(1)
    return _standardized(x, scale, bias, mean, variance, epsilon, momentum, mode)


def _standardized(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float, momentum: float,
    mode: RunMode,
) -> Tensor:  # fmt: skip
    scale, bias = scale.to(mean.dtype), bias.to(mean.dtype)  # torch wants the four in one type
    if mode.training and mode.moving:
        return _moving(x, scale, bias, mean, variance, epsilon, momentum, mode)
    if mode.training:
        return _by_the_batch(x, scale, bias, epsilon)
    if mean.requires_grad or variance.requires_grad:
        centred = (x - _per_channel(x, mean)) * _per_channel(x, torch.rsqrt(variance + epsilon))
        return (centred * _per_channel(x, scale) + _per_channel(x, bias)).to(x.dtype)
    y = F.batch_norm(_one_layout(x), mean, variance, scale, bias, False, 0.0, epsilon)  # noqa: FBT003 - torch's
    return _as_laid_out(y, x)


def _moving(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float, momentum: float,
    mode: RunMode,
) -> Tensor:  # fmt: skip
    """By the batch; the running statistics go towards its own, in place, where they are among those that move.

    torch moves them on the way; taken once more from x they would cost three times the layer. Its variance v' is the
    old one v going towards the unbiased one, n / (n - 1) of the population's: that of ONNX is v' (n - 1) / n plus what
    is kept of v / n.
    """
    values = x.numel() // max(x.shape[1], 1)
    if values < 2 or {id(mean), id(variance)} - mode.moving:
        return _moving_apart(x, scale, bias, mean, variance, epsilon, momentum, mode)
    before = variance.clone()
    y = _by_the_batch(x, scale, bias, epsilon, mean.data, variance.data, 1 - momentum)
    variance.data.mul_(1 - 1 / values).add_(before, alpha=momentum / values)  # torch keeps the ones that it was given
    return y


def _moving_apart(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float, momentum: float,
    mode: RunMode,
) -> Tensor:  # fmt: skip
    """The same where one of the two stays, or where a variance of one value is 0.

    torch adds its own to nothing times what was there, which has to be a number.
    """
    of_batch, unbiased, values = torch.zeros_like(mean), torch.zeros_like(variance), x.numel() // max(x.shape[1], 1)
    y = _by_the_batch(x, scale, bias, epsilon, of_batch, unbiased)
    if id(mean) in mode.moving:
        mean.lerp_(of_batch, 1 - momentum)
    if id(variance) in mode.moving:
        population = unbiased * ((values - 1) / values) if values > 1 else torch.zeros_like(unbiased)
        variance.lerp_(population, 1 - momentum)
    return y


def _training_form(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, epsilon: float, momentum: float,
    read: int,
) -> tuple[Tensor, ...]:  # fmt: skip
    """By the statistics of the batch, and the running ones they lead to where anybody reads them."""
    columns = x.unsqueeze(1) if x.ndim == 1 else x
    y = _by_the_batch(columns, scale.to(mean.dtype), bias.to(mean.dtype), epsilon).reshape(x.shape)
    if read == 1:
        return (y,)
    axes = [axis for axis in range(columns.ndim) if axis != 1]
    values = columns.to(mean.dtype)
    running_mean = momentum * mean + (1 - momentum) * values.mean(axes)
    return y, running_mean, momentum * variance + (1 - momentum) * values.var(axes, correction=0)


@op("BatchNormalization", 14)
def batch_normalization_14(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, epsilon: float = 1e-5,
    momentum: float = 0.9, training_mode: int = 0, read: ReadCount = 1, mode: Mode,
) -> Tensor | tuple[Tensor, ...]:  # fmt: skip
    """From opset 14 an attribute asks for batch statistics, and for the running ones they lead to."""
    if not training_mode:
        return batch_normalization(x, scale, bias, mean, variance, epsilon=epsilon, momentum=momentum, mode=mode)
    whole = _training_form(x, scale, bias, mean, variance, epsilon, momentum, read)
    return whole if len(whole) > 1 else whole[0]


@op("InstanceNormalization")
def instance_normalization(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    """Standardised over space, per sample and channel: every channel is a group.

    torch's instance_norm has wrong gradients on the CPU (2.13) where the incoming one is channels-last.
    """
    axes = tuple(range(2, x.ndim))
    if x[0, 0].numel() > 1:
        return F.group_norm(x, x.shape[1], scale, bias, epsilon)
    centred = x - x.mean(axes, keepdim=True)
    return centred * _per_channel(x, scale) + _per_channel(x, bias)


@op("LayerNormalization")
def layer_normalization(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5,
    stash_type: int = 1, outputs: ReadCount = 1,
) -> Tensor | tuple[Tensor, ...]:  # fmt: skip
    """Standardised over all axes from `axis` on (Ba 2016); optionally also the mean and 1 / std.

    The standard has it from opset 17 on, onnxruntime from the first.
    """
    axis %= x.ndim
    shape = x.shape[axis:]
    if scale.shape == shape and (bias is None or bias.shape == shape):
        y = F.layer_norm(x, shape, scale, bias, epsilon)
    else:
        y = F.layer_norm(x, shape, None, None, epsilon) * scale
        y = y if bias is None else y + bias
    if outputs == 1:
        return y
    axes = tuple(range(axis, x.ndim))
    variance = x.var(axes, correction=0, keepdim=True)
    return y, x.mean(axes, keepdim=True), torch.rsqrt(variance + epsilon)


@op("GroupNormalization", 18)
def group_normalization_18(x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5) -> Tensor:
    """Standardised over space and the channels of a group, with one scale and bias for each group."""
    each = x.shape[1] // num_groups
    return F.group_norm(x, num_groups, scale.repeat_interleave(each), bias.repeat_interleave(each), epsilon)


@op("GroupNormalization", 21)
def group_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """Standardised over space and the channels of a group (Wu 2018)."""
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@op("RMSNormalization", 23)
def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    """X over its root mean square along all axes from `axis` on (Zhang 2019)."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon) * scale


@op("SimplifiedLayerNormalization")
@op("SimplifiedLayerNormalization", domain="com.microsoft")
def simplified_layer_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1, outputs: ReadCount = 1
) -> Tensor | tuple[Tensor, ...]:
    """What onnxruntime calls RMSNormalization; optionally also 1 / root mean square."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    inverse = torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon)
    y = x * inverse * scale
    return y if outputs == 1 else (y, inverse)


@op("LRN")
def lrn(x: Tensor, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Tensor:
    """Local response over `size` neighbouring channels (Krizhevsky 2012)."""
    before, after = (size - 1) // 2, size // 2
    squares = F.pad(x.square().movedim(1, -1), (before, after)).unfold(-1, size, 1).sum(-1).movedim(-1, 1)
    return x / (bias + alpha / size * squares) ** beta


@op("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """X over its p-norm along an axis; 0 stays 0."""
    norm = x.norm(p, axis, keepdim=True)
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)


@op("MeanVarianceNormalization")
def mean_variance_normalization_1(x: Tensor, *, across_channels: int = 0, normalize_variance: int = 1) -> Tensor:
    """Before opset 9 onnxruntime's own: over all, or for each channel, and the variance only if asked for."""
    axes = tuple(axis for axis in range(x.ndim) if across_channels or axis != 1)
    return mean_variance_normalization(x, axes=axes) if normalize_variance else x - x.mean(axes, keepdim=True)


@op("MeanVarianceNormalization", 9)
def mean_variance_normalization(x: Tensor, *, axes: Ints = (0, 2, 3)) -> Tensor:
    """Standardised over the axes; 1e-9 keeps a constant input finite."""
    centred = x - x.mean(tuple(axes), keepdim=True)
    variance = centred.square().mean(tuple(axes), keepdim=True)
    varies = variance > 0  # the slope of a square root at 0 would make a constant input's gradient NaN
    deviation = torch.where(varies, variance, 1.0).sqrt() * varies
    return centred / (deviation + 1e-9)


@op("Dropout")
def dropout_1(
    x: Tensor, *, ratio: float = 0.5, is_test: int = 0, outputs: ReadCount = 1
) -> Tensor | tuple[Tensor, Tensor]:
    """Before opset 12: the identity, and a mask of ones."""
    return (x, torch.ones_like(x)) if outputs > 1 else x


@op("Dropout", 10)
def dropout_10(x: Tensor, *, ratio: float = 0.5, outputs: ReadCount = 1) -> Tensor | tuple[Tensor, Tensor]:
    """From opset 10 the mask is boolean."""
    return (x, torch.ones_like(x, dtype=torch.bool)) if outputs > 1 else x


@op("Dropout", 12)
def dropout(
    x: Tensor, ratio: Tensor | None = None, training_mode: Tensor | None = None, *, seed: int | None = None,
    outputs: ReadCount = 1,
) -> Tensor | tuple[Tensor, Tensor]:  # fmt: skip
    """Off while measuring, also where the graph asks for training: the identity, and a mask of ones."""
    return dropout_10(x, outputs=outputs)
