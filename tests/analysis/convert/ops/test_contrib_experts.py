"""Cases of the mixtures of experts: onnxruntime judges what its kernel for the CPU computes, formulas the rest."""

import numpy as np
import pytest
import torch

from analysis.convert import convert
from analysis.errors import AnalysisError
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats

MS: dict = {"domain": "com.microsoft"}
EXPERTS, WIDE, INNER = 4, 8, 6
X, SCORES = floats(2, 3, WIDE), floats(6, EXPERTS)
FIRST, SECOND, GATED = floats(EXPERTS, INNER, WIDE), floats(EXPERTS, WIDE, INNER), floats(EXPERTS, 2 * INNER, WIDE)
BIASES = [floats(EXPERTS, INNER), floats(EXPERTS, WIDE), floats(EXPERTS, 2 * INNER)]
SWIGLU: dict = {"k": 2, "activation_type": "swiglu", "activation_alpha": 1.7, "activation_beta": 1.0}
LIMITED: dict = {**SWIGLU, "swiglu_limit": 1.5}
QUANTIZED, BLOCK = 32, 16


def silu(g: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return g / (1 + np.exp(-alpha * g))


def mixed(x: np.ndarray, scores: np.ndarray, expert) -> np.ndarray:
    """The two best experts of each token, by softmax: the page's sum, token by token."""
    shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    rows = [
        sum(share[e] * expert(e, token) for e in np.argsort(-share)[:2])
        for token, share in zip(x.reshape(-1, x.shape[-1]), shares, strict=True)
    ]
    return np.array(rows, np.float32).reshape(x.shape)


def with_a_third(x, scores, first, b1, second, b2, third, b3) -> np.ndarray:  # no kernel for the CPU
    return mixed(x, scores, lambda e, t: second[e] @ (silu(first[e] @ t + b1[e]) * (third[e] @ t + b3[e])) + b2[e])


def gated_apart(x, scores, first, b1, second, b2, third, b3) -> np.ndarray:  # no kernel for the CPU
    def expert(e: int, t: np.ndarray) -> np.ndarray:
        gates, linear = np.minimum(first[e] @ t + b1[e], 1.5), np.clip(third[e] @ t + b3[e], -1.5, 1.5)
        return second[e] @ (silu(gates, 1.7) * (linear + 1)) + b2[e]

    return mixed(x, scores, expert)


def gated_behind(x, scores, first, b1, second, b2) -> np.ndarray:  # no kernel for the CPU
    def expert(e: int, t: np.ndarray) -> np.ndarray:
        gates, linear = np.split(first[e] @ t + b1[e], 2)
        return second[e] @ (silu(gates, 1.7) * (linear + 1)) + b2[e]

    return mixed(x, scores, expert)


def of_bits(bits: int, *, blocks: bool, zeros: bool = False, given: bool = False) -> Case:
    """Weights of 32 features, packed; scales by row or by block, zero points that are told or half of the range."""
    per_byte, count = 8 // bits, QUANTIZED // BLOCK

    def packed(*shape: int) -> np.ndarray:
        return RANDOM.integers(0, 256, shape, dtype=np.uint8)

    by_block = (count,) if blocks else ()
    byte_count = (QUANTIZED, count * bits // 8) if blocks else (QUANTIZED * bits // 8,)
    layer = [packed(EXPERTS, QUANTIZED, QUANTIZED // per_byte), np.abs(floats(EXPERTS, QUANTIZED, *by_block)) / 50]
    inputs = [
        floats(5, QUANTIZED), floats(5, EXPERTS), *layer, floats(EXPERTS, QUANTIZED), layer[0][::-1].copy(),
        layer[1][:, ::-1].copy(), floats(EXPERTS, QUANTIZED), None, None, None,
        *([packed(EXPERTS, *byte_count), packed(EXPERTS, *byte_count)] if zeros else [None, None]),
        *([None, np.abs(floats(5, EXPERTS))] if given else []),
    ]  # fmt: skip
    attributes = {"k": 2, "expert_weight_bits": bits, "normalize_routing_weights": 1, "activation_type": "silu"}
    name = f"{bits}{' blocks' * blocks}{' zero points' * zeros}{' given' * given}"
    more = {"block_size": BLOCK} if blocks else {}
    return Case("QMoE", inputs, {**attributes, **more}, name=name, tolerance=1e-3, **MS)


PLAIN = [X, SCORES, FIRST, BIASES[0], SECOND, BIASES[1]]
DOUBLE = [X, SCORES, GATED, BIASES[2], SECOND, BIASES[1]]
THIRD = [*PLAIN, floats(EXPERTS, INNER, WIDE), floats(EXPERTS, INNER)]
CASES: list[Case] = [
    *[
        Case("MoE", PLAIN, {"k": 2, "activation_type": name}, name=name, **MS)
        for name in ("relu", "silu", "identity", "gelu")
    ],
    Case("MoE", PLAIN, {"normalize_routing_weights": 1}, name="one", **MS),
    Case("MoE", PLAIN, {"k": 3, "normalize_routing_weights": 1}, name="normalised", **MS),
    Case("MoE", [X[0], SCORES[:3], FIRST, None, SECOND], name="flat, no bias", **MS),
    Case("MoE", DOUBLE, {**LIMITED, "swiglu_fusion": 1}, name="swiglu", **MS),
    Case("MoE", DOUBLE, {**SWIGLU, "swiglu_fusion": 2}, formula=gated_behind, name="swiglu behind", **MS),
    Case("MoE", THIRD, LIMITED, formula=gated_apart, name="swiglu apart", **MS),
    Case("MoE", THIRD, {"k": 2, "activation_type": "silu"}, formula=with_a_third, name="third", **MS),
    of_bits(4, blocks=False),
    of_bits(8, blocks=False, zeros=True),
    of_bits(4, blocks=True, zeros=True),
    of_bits(8, blocks=True, given=True),
]  # fmt: skip


def test_each_expert_is_a_weight_that_trains_and_the_ones_not_chosen_get_no_gradient() -> None:
    case = Case("MoE", PLAIN, constant=(2, 3, 4, 5), **MS)
    module = convert(check_model(case.model(1).SerializeToString()))
    assert set(module.initializers) == {"x2", "x3", "x4", "x5"}
    module(torch.from_numpy(X), torch.from_numpy(SCORES))[0].sum().backward()
    chosen = set(SCORES.argmax(-1).tolist())
    gradient = module.initializers["x4"].grad
    assert gradient is not None
    assert {e for e in range(EXPERTS) if gradient[e].any()} == chosen


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"use_sparse_mixer": 1}, "sparse mixer"),
        ({"activation_type": "geglu"}, "activation geglu"),
        ({"activation_type": "swiglu"}, "third layer"),
        ({**SWIGLU, "swiglu_fusion": 1, "swiglu_limit_after_activation": 1}, "limited behind"),
    ],
)
def test_what_no_kernel_shows_is_refused_by_name(given: dict, why: str) -> None:
    case = Case("MoE", PLAIN, given, constant=(2, 3, 4, 5), **MS)
    module = convert(check_model(case.model(1).SerializeToString()))
    with pytest.raises(AnalysisError, match=why):
        module(torch.from_numpy(X), torch.from_numpy(SCORES))


@pytest.mark.parametrize(("given", "why"), [({"quant_type": "fp8"}, "type fp8"), ({"expert_weight_bits": 3}, "3 bits")])
def test_other_weights_are_refused_by_name(given: dict, why: str) -> None:
    known = of_bits(4, blocks=False)
    module = convert(check_model(Case("QMoE", known.inputs, given, **MS).model(1).SerializeToString()))
    with pytest.raises(AnalysisError, match=why):
        module(*[torch.from_numpy(np.array(array)) for array in known.feed().values()])
