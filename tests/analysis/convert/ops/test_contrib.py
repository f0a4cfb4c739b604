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
SQUARE = np.ones((2, 1, 5, 5), np.int32)
SQUARE[0, 0, 1, 0] = SQUARE[1, 0, 2, 1] = SQUARE[0, 0, 3, 2] = 0
TWO: dict = {"num_heads": 2, "mask_filter_value": -5.0}
"""So small a filter shows whether a padded key is shut out or only made unlikely."""
APART = [floats(2, 3, 8), floats(2, 4, 8), floats(2, 4, 6)]
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


def bnb4(quant_type: int, features: int) -> Case:
    """So many features in, 5 out, blocks of 16 that run on from row to row."""
    packed = RANDOM.integers(0, 256, (5 * features + 1) // 2, dtype=np.uint8)
    inputs = [floats(3, features), packed, np.abs(floats(-(-5 * features // 16)))]
    attributes = {"K": features, "N": 5, "block_size": 16, "quant_type": quant_type}
    return Case("MatMulBnb4", inputs, attributes, name=f"{quant_type} of {features}", **MS)


CASES: list[Case] = [
    *[bnb4(quant_type, features) for quant_type in (0, 1) for features in (32, 33)],
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
    # as many keys as queries: past its last query onnxruntime lets keys through that the operator page shuts out
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
