"""Quantised operators of com.microsoft, which onnxruntime writes where floats stood between two quantisations.

Each computes with y = (q - z) s and goes back by q = clamp(round(y / s) + z); gradients pass as they do in
`quantization`. Where onnxruntime rounds after it has added the zero point, halves go to the even sum: so do they here.
Without a zero point it is 0, and the type is that of the first input.
"""

from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops import activation, contrib, contrib_attention, pooling, quantization, recurrent
from analysis.convert.ops._sequences import FORWARD
from analysis.convert.ops.casting import straight_through, wide
from analysis.convert.ops.quantization import NAMES, UINT8, dequantize_linear, quantized, shifted
from analysis.convert.registry import Element, InputElements, Ints, Mode, NodeName, OutputElement, Tensor, op


def _element(zero_point: Tensor | None, declared: Element | None, x: Tensor, elements: InputElements) -> Element:
    """The type to quantise to."""
    given = next((each for each in (zero_point, x) if each is not None and each.dtype in NAMES), None)
    if given is not None:
        return Element(NAMES[given.dtype], given.dtype)
    return declared or (elements[0] if elements else None) or UINT8


def _over(y: Tensor, scale: Tensor) -> Tensor:
    return y / wide(scale).reshape(())


def _multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """A b + c rounded once, as the processor's instruction does it."""
    exact = a.double() * b.double() + c.double()
    return exact if torch.float64 in {a.dtype, b.dtype, c.dtype} else exact.float()


def _zero(zero_point: Tensor | None, like: Tensor) -> Tensor:
    return like.new_zeros(()) if zero_point is None else zero_point.to(like.dtype).reshape(())


# ------------------------------------------------------------------ one element after the other


@op("QLinearAdd", domain=contrib.MICROSOFT)
def q_linear_add(
    a: Tensor, a_scale: Tensor, a_zero_point: Tensor | None, b: Tensor, b_scale: Tensor, b_zero_point: Tensor | None,
    c_scale: Tensor, c_zero_point: Tensor | None = None, *, element: OutputElement = None,
    elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """clamp(round((A - z_a) s_a / s_c + (B - z_b) s_b / s_c + z_c))."""
    by_a, by_b = (_over(wide(scale), c_scale).reshape(()) for scale in (a_scale, b_scale))
    zeros = (_zero(zero_point, by_a) for zero_point in (a_zero_point, b_zero_point, c_zero_point))
    zero_a, zero_b, zero_c = zeros
    rest = zero_c - _multiply_add(by_a, zero_a, by_b * zero_b)
    total = _multiply_add(wide(a), by_a, _multiply_add(wide(b), by_b, rest))
    return quantized(total, None, _element(c_zero_point, element, a, elements))


@op("QLinearMul", domain=contrib.MICROSOFT)
def q_linear_mul(
    a: Tensor, a_scale: Tensor, a_zero_point: Tensor | None, b: Tensor, b_scale: Tensor, b_zero_point: Tensor | None,
    c_scale: Tensor, c_zero_point: Tensor | None = None, *, element: OutputElement = None,
    elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """clamp(round((A - z_a) (B - z_b) s_a s_b / s_c + z_c))."""
    product = shifted(wide(a), a_zero_point) * shifted(wide(b), b_zero_point)
    scaled = product * _over(wide(a_scale) * wide(b_scale), c_scale).reshape(())
    return quantized(scaled + _zero(c_zero_point, scaled), None, _element(c_zero_point, element, a, elements))


@op("QLinearSigmoid", domain=contrib.MICROSOFT)
def q_linear_sigmoid(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor | None, y_scale: Tensor, y_zero_point: Tensor | None = None, *,
    element: OutputElement = None, elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """Sigmoid between quantised numbers."""
    y = torch.sigmoid(dequantize_linear(x, x_scale, x_zero_point))
    return quantized(_over(y, y_scale), y_zero_point, _element(y_zero_point, element, x, elements))


@op("QLinearLeakyRelu", domain=contrib.MICROSOFT)
def q_linear_leaky_relu(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor | None, y_scale: Tensor, y_zero_point: Tensor | None = None, *,
    alpha: float = 0.01, element: OutputElement = None, elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """LeakyRelu between quantised numbers."""
    y = F.leaky_relu(dequantize_linear(x, x_scale, x_zero_point), alpha)
    return quantized(_over(y, y_scale), y_zero_point, _element(y_zero_point, element, x, elements))


@op("QLinearSoftmax", domain=contrib.MICROSOFT)
def q_linear_softmax(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor | None, y_scale: Tensor, y_zero_point: Tensor, *, axis: int = -1,
    opset: int, element: OutputElement = None, elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """Softmax of this opset between quantised numbers; onnxruntime cuts 1 / s_y to an integer.

    What is not a number, as all is where the scale of x is infinite, becomes the integer 0 there, whatever z_y is.
    """
    function = activation.softmax if opset >= 13 else activation.softmax_1
    y = function(dequantize_linear(x, x_scale, x_zero_point), axis=axis)
    steps = straight_through(
        _over(y, y_scale), y.detach() * _over(torch.ones_like(y), y_scale).detach().floor(), y >= 0
    )
    numbers = quantized(steps, y_zero_point, _element(y_zero_point, element, x, elements))
    return numbers.masked_fill(steps.isnan(), 0)


@op("QLinearWhere", domain=contrib.MICROSOFT)
def q_linear_where(
    condition: Tensor, x: Tensor, x_scale: Tensor, x_zero_point: Tensor, y: Tensor, y_scale: Tensor,
    y_zero_point: Tensor, z_scale: Tensor, z_zero_point: Tensor, *, element: OutputElement = None,
    elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """Where between quantised numbers."""
    left, right = dequantize_linear(x, x_scale, x_zero_point), dequantize_linear(y, y_scale, y_zero_point)
    chosen = _over(torch.where(condition, left, right), z_scale)
    return quantized(chosen, z_zero_point, _element(z_zero_point, element, x, elements))


@op("QLinearConcat", domain=contrib.MICROSOFT)
def q_linear_concat(
    y_scale: Tensor, y_zero_point: Tensor, *inputs: Tensor, axis: int, element: OutputElement = None
) -> Tensor:
    """Concat of triples (x, s_x, z_x), each requantised."""
    triples = zip(inputs[::3], inputs[1::3], inputs[2::3], strict=True)
    parts = [_over(dequantize_linear(x, scale, zero), y_scale) for x, scale, zero in triples]
    return quantized(torch.cat(parts, axis), y_zero_point, _element(y_zero_point, element, inputs[0], ()))


# ------------------------------------------------------------------ means


@op("QLinearGlobalAveragePool", domain=contrib.MICROSOFT)
def q_linear_global_average_pool(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor, y_scale: Tensor, y_zero_point: Tensor, *,
    channels_last: int = 0, element: OutputElement = None, elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """GlobalAveragePool between quantised numbers; the sum is one of integers."""
    axes = tuple(range(1, x.ndim - 1) if channels_last else range(2, x.ndim))
    total = shifted(x.double(), x_zero_point).sum(axes, keepdim=True)
    factor = wide(x_scale).reshape(()) / (wide(y_scale).reshape(()) * (x.numel() // total.numel()))
    steps = total.to(factor.dtype) * factor
    return quantized(steps, y_zero_point, _element(y_zero_point, element, x, elements))


@op("QLinearAveragePool", domain=contrib.MICROSOFT)
def q_linear_average_pool(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor | None, y_scale: Tensor, y_zero_point: Tensor | None = None, *,
    auto_pad: str = "NOTSET", ceil_mode: int = 0, channels_last: int = 0, count_include_pad: int = 0,
    kernel_shape: Ints, pads: Ints | None = None, strides: Ints | None = None, element: OutputElement = None,
    elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """AveragePool between quantised numbers, rounded with the zero point added."""
    values = dequantize_linear(x, x_scale, x_zero_point)
    pooled = pooling.average_pool(
        values.movedim(-1, 1) if channels_last else values, auto_pad=auto_pad, ceil_mode=ceil_mode,
        count_include_pad=count_include_pad, kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    steps = _over(pooled.movedim(1, -1) if channels_last else pooled, y_scale)
    return quantized(steps + _zero(y_zero_point, steps), None, _element(y_zero_point, element, x, elements))


@op("QLinearReduceMean", domain=contrib.MICROSOFT)
def q_linear_reduce_mean(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor | None, y_scale: Tensor, y_zero_point: Tensor | None = None, *,
    axes: Ints, keepdims: int, element: OutputElement = None, elements: InputElements = (),
) -> Tensor:  # fmt: skip
    """ReduceMean between quantised numbers, as its page says: no kernel of onnxruntime computes it."""
    y = dequantize_linear(x, x_scale, x_zero_point).mean(tuple(axes), keepdim=bool(keepdims))
    return quantized(_over(y, y_scale), y_zero_point, _element(y_zero_point, element, x, elements))


# ------------------------------------------------------------------ products


@op("QGemm", domain=contrib.MICROSOFT)
def q_gemm(
    a: Tensor, a_scale: Tensor, a_zero_point: Tensor, b: Tensor, b_scale: Tensor, b_zero_point: Tensor,
    c: Tensor | None = None, y_scale: Tensor | None = None, y_zero_point: Tensor | None = None, *, alpha: float = 1.0,
    transA: int = 0, transB: int = 0, element: OutputElement = None, elements: InputElements = (),  # noqa: N803
) -> Tensor:  # fmt: skip
    """Alpha s_a s_b ((A' - z_a) (B' - z_b) + C), floats unless there is an s_y."""
    total = quantization.mat_mul_integer(a.mT if transA else a, b.mT if transB else b, a_zero_point, b_zero_point)
    total = total if c is None else total + c
    factor = alpha * wide(a_scale).reshape(()) * _column(b_scale)
    if y_scale is None:
        return total.to(factor.dtype) * factor
    factor = _over(factor, y_scale)
    return quantized(total.to(factor.dtype) * factor, y_zero_point, _element(y_zero_point, element, a, elements))


@op("MatMulIntegerToFloat", domain=contrib.MICROSOFT)
def mat_mul_integer_to_float(
    a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, a_zero_point: Tensor | None = None,
    b_zero_point: Tensor | None = None, bias: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """(A - z_a) (B - z_b) s_a s_b + bias."""
    factor = wide(a_scale).reshape(()) * _column(b_scale)
    y = quantization.mat_mul_integer(a, b, a_zero_point, b_zero_point).to(factor.dtype) * factor
    return y if bias is None else y + bias


@op("DynamicQuantizeMatMul", domain=contrib.MICROSOFT)
def dynamic_quantize_mat_mul(
    a: Tensor, b: Tensor, b_scale: Tensor, b_zero_point: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """The same of A as DynamicQuantizeLinear quantises it."""
    quantised, scale, zero_point = quantization.dynamic_quantize_linear(a)
    return mat_mul_integer_to_float(quantised, b, scale, b_scale, zero_point, b_zero_point, bias)


def _column(scale: Tensor) -> Tensor:
    """One number for each column, or one for all."""
    return wide(scale).reshape(()) if scale.numel() == 1 else wide(scale)


@op("QLinearConv", domain=contrib.MICROSOFT)
def q_linear_conv(
    x: Tensor, x_scale: Tensor, x_zero_point: Tensor, w: Tensor, w_scale: Tensor, w_zero_point: Tensor,
    y_scale: Tensor, y_zero_point: Tensor, b: Tensor | None = None, *, auto_pad: str = "NOTSET",
    channels_last: int = 0, dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None,
    pads: Ints | None = None, strides: Ints | None = None, element: OutputElement = None,
) -> Tensor:  # fmt: skip
    """The standard's QLinearConv, perhaps with the channels of x and y last."""
    y = quantization.q_linear_conv(
        x.movedim(-1, 1) if channels_last else x, x_scale, x_zero_point, w, w_scale, w_zero_point, y_scale,
        y_zero_point, b, auto_pad=auto_pad, dilations=dilations, group=group, pads=pads, strides=strides,
        element=element,
    )  # fmt: skip
    return y.movedim(1, -1) if channels_last else y


@op("QAttention", domain=contrib.MICROSOFT)
def q_attention(
    x: Tensor, weights: Tensor, bias: Tensor, x_scale: Tensor, weight_scale: Tensor, mask_index: Tensor | None = None,
    x_zero_point: Tensor | None = None, weight_zero_point: Tensor | None = None, past: Tensor | None = None, *,
    do_rotary: int = 0, mask_filter_value: float = contrib_attention.MASKED, num_heads: int, scale: float = 0.0,
    unidirectional: int = 0,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Attention behind a projection of integers."""
    contrib_attention.refuse_rotary(do_rotary)
    projected = mat_mul_integer_to_float(x, weights, x_scale, weight_scale, x_zero_point, weight_zero_point, bias)
    sizes = [weights.shape[1] // 3] * 3
    return contrib_attention.self_attention(
        projected, sizes, mask_index, past, None, mask_filter_value, num_heads, scale, unidirectional
    )


@op("QEmbedLayerNormalization", domain=contrib.MICROSOFT)
def q_embed_layer_normalization(
    input_ids: Tensor, segment_ids: Tensor | None, word: Tensor, position: Tensor, segment: Tensor | None,
    gamma: Tensor, beta: Tensor, mask: Tensor | None, word_scale: Tensor, position_scale: Tensor,
    segment_scale: Tensor | None, gamma_scale: Tensor, beta_scale: Tensor, word_zero_point: Tensor,
    position_zero_point: Tensor, segment_zero_point: Tensor | None, gamma_zero_point: Tensor, beta_zero_point: Tensor,
    *, epsilon: float = 1e-12,
) -> tuple[Tensor, ...]:  # fmt: skip
    """EmbedLayerNormalization of quantised tables."""
    kinds = None if segment is None or segment_scale is None else dequantize_linear(
        segment, segment_scale, segment_zero_point
    )  # fmt: skip
    return contrib.embed_layer_normalization(
        input_ids, segment_ids, dequantize_linear(word, word_scale, word_zero_point),
        dequantize_linear(position, position_scale, position_zero_point), kinds,
        dequantize_linear(gamma, gamma_scale, gamma_zero_point), dequantize_linear(beta, beta_scale, beta_zero_point),
        mask, epsilon=epsilon,
    )[:2]  # fmt: skip


# ------------------------------------------------------------------ over time


@op("DynamicQuantizeLSTM", domain=contrib.MICROSOFT)
def dynamic_quantize_lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, sequence_lens: Tensor | None, initial_h: Tensor | None,
    initial_c: Tensor | None, p: Tensor | None, w_scale: Tensor, w_zero_point: Tensor, r_scale: Tensor,
    r_zero_point: Tensor, *, activation_alpha: list[float] | None = None, activation_beta: list[float] | None = None,
    activations: list[str] | None = None, clip: float | None = None, direction: str = FORWARD,
    hidden_size: int | None = None, input_forget: int = 0, mode: Mode, node: NodeName,
) -> tuple[Tensor, ...]:  # fmt: skip
    """LSTM with integer weights W [D, I, 4 H] and R [D, H, 4 H], their scales [D] or [D, 4 H].

    All steps of x are quantised together, the states of a batch at every step; onnxruntime does so on one thread, and
    by parts of the batch on several.
    """
    if sequence_lens is not None:  # nothing behind the longest sample counts
        steps = torch.arange(x.shape[0], device=x.device).reshape(-1, 1, 1)
        x = torch.where(steps < sequence_lens.max().to(x.device), x, 0.0)
    matrices = ((w, w_scale, w_zero_point), (r, r_scale, r_zero_point))
    inner, outer = (_by_direction(*each).transpose(1, 2) for each in matrices)
    return recurrent.lstm_with(
        _dynamic_product, x, inner, outer, b, sequence_lens, (initial_h, initial_c), p, activation_alpha,
        activation_beta, activations, clip, direction, input_forget, 0, mode, node,
    )  # fmt: skip


def _by_direction(weight: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """The numbers that weights [D, .., 4 H] stand for."""
    spread = partial(torch.reshape, shape=(weight.shape[0], 1, -1))
    unit = wide(spread(scale))
    return shifted(weight.to(unit.dtype), spread(zero_point)) * unit


def _dynamic_product(values: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    quantised, scale, zero_point = quantization.dynamic_quantize_linear(values)
    return F.linear(dequantize_linear(quantised, scale, zero_point), matrix, bias)
