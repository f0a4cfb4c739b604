"""Cases of the contrib family: onnxruntime's own operators, which it also judges."""

import math

import numpy as np
import onnxruntime
import pytest
import torch

from analysis.convert import convert
from analysis.errors import AnalysisError
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, scalar

MS: dict = {"domain": "com.microsoft"}
X, HIDDEN = floats(2, 3, 8), floats(8)
IMAGE, KERNEL = floats(1, 2, 4, 4), floats(3, 2, 3, 3)
A, B, C = floats(2, 4), floats(4, 3), floats(3)
ONCE = {"activation_alpha": 0.3, "activation_beta": 0.4, "activation_gamma": 1.1}
WORDS = np.array([[1, 2, 0], [3, 1, 2]], np.int32)
SEGMENTS = np.array([[0, 1, 0], [1, 1, 0]], np.int32)
WORDS_MASK = np.array([[1, 1, 0], [1, 0, 1]], np.int32)
TABLES = [floats(5, 8), floats(6, 8), floats(2, 8)]
COSINE, SINE = floats(10, 4), floats(10, 4)
PLACES = np.array([[0, 1, 2], [4, 5, 9]], np.int64)
PROJECTION = [floats(2, 3, 6), floats(6, 24), floats(24)]
"""Input, merged weight and bias: two heads of four."""
MASK = np.array([[1, 1, 0], [0, 1, 1]], np.int32)
MASKS = np.array([[[1, 0, 1], [1, 1, 0], [0, 0, 1]], [[0, 1, 1], [1, 1, 1], [1, 0, 0]]], np.int32)
SQUARE = np.ones((2, 1, 5, 5), np.int32)
SQUARE[0, 0, 1, 0] = SQUARE[1, 0, 2, 1] = SQUARE[0, 0, 3, 2] = 0
TWO: dict = {"num_heads": 2, "mask_filter_value": -5.0}
"""So small a filter shows whether a padded key is shut out or only made unlikely."""
APART = [floats(2, 3, 8), floats(2, 4, 8), floats(2, 4, 6)]
CACHE = [floats(2, 2, 2, 4), floats(2, 2, 2, 3)]
GROUPS: dict = {"num_heads": 4, "kv_num_heads": 2}
GROUPED = [floats(2, 3, 32), floats(2, 3, 16), floats(2, 3, 16)]
ALL_OF_IT = [np.array([2, 2], np.int32), np.array(3, np.int32)]


def int32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def half_and_double(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """No kernel for the CPU without an activation."""
    return 0.5 * a @ b + 2 * c


def biased_softmax(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Over the last two axes; no kernel for the CPU."""
    exponential = np.exp(x + bias)
    return exponential / exponential.sum((-1, -2), keepdims=True)


def kept(x: np.ndarray, bias: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Dropout while nothing trains; no kernel for the CPU."""
    return x + bias + residual, np.ones_like(x, bool)


def split_gelu(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """No kernel for the CPU."""
    left, right = np.split(x + bias, 2, -1)
    return left * right * (1 + np.vectorize(math.erf)(right / math.sqrt(2))).astype(np.float32) / 2


def softmax(x: np.ndarray) -> np.ndarray:
    exponential = np.exp(x - x.max(-1, keepdims=True))
    return exponential / exponential.sum(-1, keepdims=True)


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray, bias: np.ndarray | float = 0.0) -> np.ndarray:
    """[B, H, S, D] -> [B, S, H D]."""
    y = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(np.float32(q.shape[-1])) + bias) @ v
    return y.swapaxes(1, 2).reshape(q.shape[0], q.shape[2], -1)


def packed_three(qkv: np.ndarray) -> np.ndarray:
    """[B, S, H, 3, D]; onnxruntime's kernel for the CPU takes separate ones only."""
    return attended(*qkv.transpose(3, 0, 2, 1, 4))


def packed_two(q: np.ndarray, kv: np.ndarray) -> np.ndarray:
    """[B, S, H, 2, D]; onnxruntime's kernel for the CPU takes separate ones only."""
    k, v = kv.transpose(3, 0, 2, 1, 4)
    return attended(q.reshape(*q.shape[:2], k.shape[1], -1).swapaxes(1, 2), k, v)


def under_square_mask(x: np.ndarray, w: np.ndarray, b: np.ndarray, mask: np.ndarray, past: np.ndarray) -> tuple:
    """Rows and columns of the mask from the first new token on; onnxruntime's kernel for the CPU refuses it."""
    q, k, v = (x @ w + b).reshape(*x.shape[:2], 3, 2, 4).transpose(2, 0, 3, 1, 4)
    k, v = np.concatenate((past[0], k), 2), np.concatenate((past[1], v), 2)
    bias = np.where(mask[:, :, 2:5, :5] > 0, np.float32(0), np.float32(-5))
    return attended(q, k, v, bias), np.stack((k, v))


def quantized(bits: int, rows: int = 3, blocks: int = 3) -> np.ndarray:
    """Packed weights [N, blocks, 16 bits / 8]."""
    return RANDOM.integers(0, 256, (rows, blocks, 2 * bits), dtype=np.uint8)


def n_bits(bits: int, *more: np.ndarray | None, name: str = "", flat: bool = False) -> Case:
    """40 features in, 3 out, blocks of 16: the last is not full."""
    scales = floats(9) if flat else floats(3, 3)
    attributes = {"K": 40, "N": 3, "bits": bits, "block_size": 16}
    inputs = [floats(2, 2, 40), quantized(bits), scales, *more]
    # onnxruntime may compute in blocks of its own; 40 products of up to 15 cancel
    return Case("MatMulNBits", inputs, attributes, name=f"{bits} {name}", tolerance=1e-4, **MS)


CASES: list[Case] = [
    Case("FusedMatMul", [floats(2, 3, 4), floats(2, 4, 2)], **MS),
    Case("FusedMatMul", [floats(2, 4, 3), floats(2, 2, 4)], {"transA": 1, "transB": 1, "alpha": 0.5}, name="both", **MS),  # noqa: E501 - one case, one line
    Case("FusedMatMul", [floats(4, 2, 3, 5), floats(2, 3, 5, 2)], {"transBatchA": 1}, name="batch of a", **MS),
    Case(
        "FusedMatMul", [floats(2, 3, 4, 5), floats(4, 2, 3, 5)], {"transBatchB": 1, "transB": 1}, name="batch of b", **MS  # noqa: E501 - one case, one line
    ),
    Case("TransposeMatMul", [floats(2, 4, 3), floats(2, 2, 4)], {"transA": 1, "transB": 1, "alpha": 0.5}, **MS),
    Case("FusedGemm", [A, B, C], {"alpha": 0.5, "beta": 2.0}, formula=half_and_double, name="plain", **MS),
    Case("FusedGemm", [A.T, B.T], {"transA": 1, "transB": 1, "activation": "Tanh"}, name="transposed", **MS),
    *[
        Case("FusedGemm", [A, B, C], {"activation": name, **ONCE}, name=name, **MS)
        for name in (
            "Relu", "Sigmoid", "Softplus", "Softsign", "LeakyRelu", "Elu", "ThresholdedRelu", "HardSigmoid",
            "ScaledTanh", "Selu",
        )
    ],
    *[
        Case("FusedConv", [IMAGE, KERNEL, floats(3)], {"activation": name, **parameters}, name=name, **MS)
        for name, parameters in (
            ("Tanh", {}), ("HardSwish", {}), ("LeakyRelu", {"activation_params": [0.1]}),
            ("Clip", {"activation_params": [-0.7, 3.0]}), ("HardSigmoid", {"activation_params": [0.1, 0.6]}),
        )
    ],
    Case("FusedConv", [IMAGE, KERNEL], {"pads": [1, 0, 1, 2], "strides": [2, 1]}, name="plain", **MS),
    Case("FusedConv", [IMAGE, KERNEL, floats(3), floats(1, 3, 2, 2)], {"activation": "Relu"}, name="sum", **MS),
    n_bits(4),
    n_bits(4, RANDOM.integers(0, 256, (3, 2), dtype=np.uint8), None, floats(3), name="packed zero points"),
    n_bits(4, RANDOM.integers(0, 256, 6, dtype=np.uint8), name="flat", flat=True),
    n_bits(4, floats(3, 3, low=0, high=15), name="zero points that are floats"),
    n_bits(4, None, RANDOM.integers(0, 3, 48, dtype=np.int32), name="groups"),
    n_bits(2, RANDOM.integers(0, 256, (3, 1), dtype=np.uint8)),
    n_bits(8, RANDOM.integers(0, 256, (3, 3), dtype=np.uint8)),
    Case(
        "MatMulNBits", [floats(2, 40), np.zeros((3, 0, 8), np.uint8), floats(3, 3), None, None, floats(3)],
        {"K": 40, "N": 3, "bits": 4, "block_size": 16}, constant=(1,), name="no weight", **MS,
    ),
    Case("Gelu", [X], **MS),
    Case("BiasGelu", [X, HIDDEN], **MS),
    Case("FastGelu", [X], **MS),
    Case("FastGelu", [X, HIDDEN], name="bias", **MS),
    Case("QuickGelu", [X], **MS),
    Case("QuickGelu", [X], {"alpha": 0.7}, name="alpha", **MS),
    Case("BiasSplitGelu", [X, HIDDEN], formula=split_gelu, **MS),
    Case(
        "BiasSoftmax", [floats(2, 3, 4, 5), floats(2, 1, 1, 5)], {"axis": 2, "is_inner_broadcast": 1},
        formula=biased_softmax, **MS,
    ),
    Case("BiasDropout", [X, HIDDEN, floats(2, 3, 8)], outputs=2, returns=("float32", "bool"), formula=kept, **MS),
    Case("SkipLayerNormalization", [X, floats(2, 3, 8), HIDDEN, floats(8), floats(8)], outputs=4, **MS),
    Case("SkipLayerNormalization", [X, floats(1, 3, 8), HIDDEN], name="one skip for all", **MS),
    Case("SkipLayerNormalization", [X, floats(3, 8), HIDDEN, floats(8)], {"epsilon": 0.1}, name="skip of a sample", **MS),  # noqa: E501 - one case, one line
    Case("SkipSimplifiedLayerNormalization", [X, floats(2, 3, 8), HIDDEN, floats(8)], outputs=4, **MS),
    Case("SkipSimplifiedLayerNormalization", [floats(3, 8), floats(3, 8), HIDDEN], {"epsilon": 0.1}, name="flat", **MS),
    Case(
        "EmbedLayerNormalization", [WORDS, SEGMENTS, *TABLES, HIDDEN, floats(8), WORDS_MASK], {"epsilon": 0.1},
        outputs=3, returns=("float32", "int32", "float32"), **MS,
    ),
    Case(
        "EmbedLayerNormalization", [WORDS, None, *TABLES[:2], None, HIDDEN, floats(8), None, int32([0, 2, 1])],
        outputs=2, returns=("float32", "int32"), name="words and places", **MS,
    ),
    Case("RotaryEmbedding", [floats(2, 3, 16), PLACES, COSINE, SINE], **MS),
    Case("RotaryEmbedding", [floats(2, 2, 3, 8), np.array([2]), COSINE, SINE], {"interleaved": 1}, name="pairs", **MS),
    Case(
        "RotaryEmbedding", [floats(2, 3, 16), np.array([2]), floats(10, 2), floats(10, 2)],
        {"rotary_embedding_dim": 4, "num_heads": 2}, name="partial", **MS,
    ),
    Case("Attention", PROJECTION, {"num_heads": 2}, **MS),
    Case("Attention", PROJECTION[:2], {"num_heads": 2, "scale": 0.3}, name="no bias", **MS),
    Case("Attention", PROJECTION, {"num_heads": 2, "unidirectional": 1}, name="causal", **MS),
    *[
        Case(
            "Attention", [*PROJECTION, mask], {**TWO, "unidirectional": causal}, name=f"{name} {causal}", **MS,
        )
        for causal in (0, 1)
        for name, mask in (
            ("mask", MASK), ("masks", MASKS), ("ends", int32(2, 3)), ("ends and starts", int32(3, 2, 1, 0)),
            ("nothing but padding", np.zeros((2, 3), np.int32)),
        )
    ],
    Case("Attention", [*PROJECTION, None, floats(2, 2, 2, 2, 4)], {"num_heads": 2}, outputs=2, name="past", **MS),
    Case(
        "Attention", [*PROJECTION, np.array([[1, 1, 0, 1, 1], [0, 1, 1, 1, 0]], np.int32), floats(2, 2, 2, 2, 4)],
        {**TWO, "unidirectional": 1}, outputs=2, name="past, mask", **MS,
    ),
    Case(
        "Attention", [*PROJECTION, SQUARE, floats(2, 2, 2, 2, 4)], TWO, outputs=2, formula=under_square_mask,
        name="square mask", **MS,
    ),
    Case(
        "Attention", [*PROJECTION, MASK, None, floats(1, 2, 3, 3)], {**TWO, "unidirectional": 1}, name="bias", **MS
    ),
    Case("Attention", [*PROJECTION, None, None, floats(2, 1, 3, 3)], TWO, name="bias per sample", **MS),
    Case(
        "Attention", [PROJECTION[0], floats(6, 20), floats(20)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]},
        name="small values", **MS,
    ),
    Case("MultiHeadAttention", APART, TWO, **MS),
    Case("MultiHeadAttention", [*APART, floats(22)], TWO, outputs=3, name="bias", **MS),
    # as many keys as queries: past its last query onnxruntime lets keys through that the operator page shuts out
    Case("MultiHeadAttention", [APART[0], floats(2, 3, 8), floats(2, 3, 6)],
         {**TWO, "unidirectional": 1, "scale": 0.3}, name="causal", **MS),
    *[
        Case("MultiHeadAttention", [*APART, None, mask], TWO, name=name, **MS)
        for name, mask in (
            ("mask", np.array([[1, 1, 1, 0], [0, 1, 0, 1]], np.int32)),
            ("masks", np.arange(24, dtype=np.int32).reshape(2, 3, 4) % 3),
            ("ends", int32(3, 1)),
        )
    ],
    Case("MultiHeadAttention", [*APART, None, None, floats(1, 2, 3, 4)], TWO, name="added to scores", **MS),
    Case(
        "MultiHeadAttention", [*APART[:2], floats(2, 4, 8), None, None, None, CACHE[0], floats(2, 2, 2, 4)], TWO,
        outputs=3, name="past", **MS,
    ),
    Case(
        "MultiHeadAttention",
        [APART[0], floats(2, 3, 8), floats(2, 3, 8), floats(24), np.array([[1, 0, 1, 1, 1], [1, 1, 1, 1, 0]], np.int32),
         floats(2, 2, 3, 5), CACHE[0], floats(2, 2, 2, 4)],
        {**TWO, "unidirectional": 1}, outputs=3, name="everything", **MS,
    ),
    Case("MultiHeadAttention", [APART[0], floats(2, 2, 4, 4), floats(2, 2, 4, 4)], TWO, name="keys in heads", **MS),
    Case("MultiHeadAttention", [floats(2, 3, 2, 3, 4)], TWO, formula=packed_three, name="packed", **MS),
    Case("MultiHeadAttention", [APART[0], floats(2, 4, 2, 2, 4)], TWO, formula=packed_two, name="packed keys", **MS),
    Case("GroupQueryAttention", [*GROUPED, None, None, *ALL_OF_IT], GROUPS, outputs=3, **MS),
    Case("GroupQueryAttention", [floats(1, 3, 64), *[None] * 4, int32(2), ALL_OF_IT[1]], GROUPS, outputs=3,
         name="packed", **MS),
    *[
        Case("GroupQueryAttention", [*GROUPED, None, None, *ALL_OF_IT], {**GROUPS, **given}, outputs=3, name=name, **MS)
        for name, given in (
            ("window of one", {"local_window_size": 1}), ("window", {"local_window_size": 2, "scale": 0.3}),
            ("softcap", {"softcap": 1.5}), ("both ways", {"causal": 0}), ("smooth", {"smooth_softmax": 1}),
        )
    ],
    Case(
        "GroupQueryAttention", [*GROUPED, None, None, *ALL_OF_IT, None, None, None, floats(1, 1, 3, 3), floats(4)],
        {**GROUPS, "softcap": 2.0}, outputs=3, name="bias and sink", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [each[:, :1] for each in GROUPED] + [floats(2, 2, 2, 8), floats(2, 2, 2, 8), int32(2, 1), ALL_OF_IT[1]],
        GROUPS, outputs=3, name="one step after unequal pasts", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [each[:, :1] for each in GROUPED] + [floats(2, 2, 6, 8), floats(2, 2, 6, 8), int32(2, 1), ALL_OF_IT[1]],
        {**GROUPS, "local_window_size": 2}, outputs=3, name="one step in a long cache", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [each[:1] for each in GROUPED] + [floats(1, 2, 2, 8), floats(1, 2, 2, 8), int32(4), np.array(5, np.int32)],
        GROUPS, outputs=3, name="steps after a past", **MS,
    ),
]  # fmt: skip


ROTARY = [floats(1, 3, 64), floats(1, 3, 32), floats(1, 3, 32)]
"""Heads of 16: onnxruntime turns no smaller ones."""
CASES += [
    *[
        Case(
            "GroupQueryAttention", [*ROTARY, None, None, int32(2), ALL_OF_IT[1], floats(8, 8), floats(8, 8)],
            {**GROUPS, "do_rotary": 1, "rotary_interleaved": interleaved}, outputs=3, name=f"rotary {interleaved}",
            **MS,
        )
        for interleaved in (0, 1)
    ],
    Case(
        "GroupQueryAttention",
        [*ROTARY, floats(1, 2, 2, 16), floats(1, 2, 2, 16), int32(4), np.array(5, np.int32), floats(8, 8), floats(8, 8)],  # noqa: E501 - one case, one line
        {**GROUPS, "do_rotary": 1}, outputs=3, name="rotary after a past", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [*ROTARY, None, None, int32(2), ALL_OF_IT[1], floats(8, 8), floats(8, 8), np.array([[3, 5, 4]])],
        {**GROUPS, "do_rotary": 1}, outputs=3, name="rotary from a given place", **MS,
    ),
    Case(
        "GroupQueryAttention",
        [*ROTARY, floats(1, 2, 2, 16), floats(1, 2, 2, 16), int32(4), np.array(5, np.int32), floats(8, 8), floats(8, 8), np.array([[3, 5, 4]])],  # noqa: E501 - one case, one line
        {**GROUPS, "do_rotary": 1}, outputs=3, name="rotary at given places after a past", **MS,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("case", "named"),
    [
        (Case("FusedGemm", [A, B], {"activation": "Sin"}, **MS), "activation Sin"),
        (n_bits(3), "3 bits"),
        (Case("Attention", PROJECTION, {"num_heads": 2, "do_rotary": 1}, **MS), "rotary"),
        (Case("Attention", [*PROJECTION, np.zeros(8, np.int32)], TWO, **MS), "packed sequences"),
        (Case("MultiHeadAttention", [APART[0]], TWO, **MS), "without keys"),
        (Case("RotaryEmbedding", [X, PLACES, COSINE, SINE], {"is_packed_batching": 1}, **MS), "packed batches"),
        (Case("GroupQueryAttention", [*GROUPED, None, None, *ALL_OF_IT, *[None] * 5, scalar(1)], GROUPS, **MS), "quant"),  # noqa: E501 - one case, one line
        (Case("LongformerAttention", [X], **MS), "com.microsoft::LongformerAttention"),
        (Case("Attention", PROJECTION, {"num_heads": 2, "past_present_share_buffer": 1}, **MS), "share_buffer"),
    ],
)  # fmt: skip
def test_what_no_function_serves_is_refused_by_name(case: Case, named: str) -> None:
    inputs = [torch.from_numpy(array) for array in case.feed().values()]
    with pytest.raises(AnalysisError, match=named):
        convert(check_model(case.model(1).SerializeToString()))(*inputs)


def test_a_model_that_onnxruntime_optimised_converts() -> None:
    """Attention, LayerNormalization and Gelu written out become its own operators, of the same outputs."""
    case = Case("BiasGelu", [X, HIDDEN], constant=(1,), **MS)
    module = convert(check_model(case.model(1).SerializeToString()))
    assert list(module.initializers) == ["x1"]
    (y,) = module(torch.from_numpy(X))
    (wanted,) = onnxruntime.InferenceSession(case.model(1).SerializeToString()).run(None, {"x0": X})
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-5, atol=1e-5)
