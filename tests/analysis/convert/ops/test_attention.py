"""Cases of the attention family."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from analysis.convert import convert
from analysis.convert.ops.attention import attention, linear_attention
from analysis.model import check_model
from tests.analysis.convert.ops.cases import Case, floats, ints, scalar

Q, K, V = floats(2, 2, 4, 4), floats(2, 2, 6, 4), floats(2, 2, 6, 3)
"""Two heads, four queries, six keys, values of another size."""
SELF = [floats(1, 2, 4, 4), floats(1, 2, 4, 4), floats(1, 2, 4, 4)]
GROUPED = [floats(1, 6, 2, 4), floats(1, 2, 3, 4), floats(1, 2, 3, 4)]
PACKED = [floats(2, 4, 8), floats(2, 6, 8), floats(2, 6, 8)]
HEADS = {"q_num_heads": 2, "kv_num_heads": 2}
PAST = [floats(2, 2, 2, 4), floats(2, 2, 2, 3)]
BIAS = floats(4, 6)
SEEN = np.array([[1, 0, 1, 1, 0, 1], [0, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 0]], np.bool_)
BLIND = np.array([[1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0]], np.bool_)
"""Two queries see no key."""
CLOSED = np.where(BLIND, BIAS, -np.inf).astype(np.float32)
EVERYTHING = {"is_causal": 1, "softcap": 1.5, "scale": 0.3}
COSINE, SINE = floats(10, 4), floats(10, 4)
PLACES = np.array([[0, 1, 2], [4, 5, 9]], np.int64)
TOKENS = floats(2, 3, 16)
FLEX: dict = {"domain": "ai.onnx.preview", "refused": True}


def stages(mode: int) -> list[Case]:
    """What lies between keys and values, at one of its four stages; softcap and a mask tell them apart."""
    named = {"qk_matmul_output_mode": mode, "softcap": 1.5}
    told: dict = {"outputs": 4, "formula": before_the_cap} if mode == 0 else {"outputs": 4, "refused": True}
    return [
        Case("Attention", [Q, K, V, BIAS], named, until=24, name=f"stage {mode}", **told),
        Case(
            "Attention",
            [Q, K, V, BLIND],
            named,
            until=24,
            name=f"stage {mode} masked",
            differentiable=mode != 2,
            **told,
        ),
    ]


def before_the_cap(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
    """Stage 0 is the product alone; onnx's reference gives it after the softcap, and the rest right."""
    feed = {f"x{place}": array for place, array in enumerate(inputs)}
    case = Case("Attention", inputs, {"qk_matmul_output_mode": 1, "softcap": 1.5}, outputs=4)
    outputs = ReferenceEvaluator(case.model(23)).run(None, feed)
    return (*outputs[:3], Q @ K.swapaxes(-1, -2) / np.float32(2))


def modifier(op: str, operand: float) -> object:
    """A body of one node, as score_mod and prob_mod are."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("s", "t")]
    constant = helper.make_node("Constant", [], ["c"], value_float=operand)
    return helper.make_graph([constant, helper.make_node(op, ["s", "c"], ["t"])], "mod", values[:1], values[1:])


def rolled(past: np.ndarray, update: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The pseudocode of the operator page, circular along axis 1."""
    present = past.copy()
    for sample, first in enumerate(at):
        for step in range(update.shape[1]):
            present[sample, (first + step) % past.shape[1]] = update[sample, step]
    return present


CASES: list[Case] = [
    Case("Attention", [Q, K, V]),
    Case("Attention", SELF, {"is_causal": 1}, name="causal"),
    Case("Attention", [Q, K, V], {"is_causal": 1}, name="causal, more keys"),
    Case("Attention", [floats(1, 2, 6, 4), floats(1, 2, 3, 4), floats(1, 2, 3, 4)], {"is_causal": 1}, name="few keys"),
    Case("Attention", [Q, K, V], {"scale": 0.1, "softcap": 2.0}, name="softcap"),
    Case("Attention", [Q, K, V, BIAS], name="bias"),
    Case("Attention", [Q, K, V, floats(2, 4, 6)], {"is_causal": 1}, name="bias per head, causal"),
    Case("Attention", [Q, K, V, floats(2, 1, 4, 6)], name="bias per sample"),
    Case("Attention", [Q, K, V, SEEN], name="mask"),
    Case("Attention", [Q, K, V, SEEN], {**EVERYTHING}, name="mask, everything", refused=True),
    Case("Attention", [Q, K, V, BLIND], name="blind", refused=True),
    Case("Attention", [Q, K, V, BLIND], {"is_causal": 1}, name="blind, causal", refused=True),
    Case("Attention", [Q, K, V, CLOSED], name="blind by -inf", refused=True, differentiable=False),
    Case("Attention", [Q, K, V, CLOSED], name="blind by constant -inf", refused=True, constant=(3,)),
    Case("Attention", [Q, K, V, SEEN[:, :4]], name="short mask", refused=True),
    Case("Attention", [Q, K, V, BIAS[:, :5]], name="short bias", refused=True, constant=(3,)),
    Case("Attention", [Q, K, V, None, *PAST], outputs=3, name="past"),
    Case("Attention", [Q, K[:, :, :4], V[:, :, :4], None, *PAST], {"is_causal": 1}, outputs=3, name="past, causal"),
    Case("Attention", [Q, K, V, floats(4, 8), *PAST], {**EVERYTHING}, outputs=3, refused=True, name="past, bias"),
    Case("Attention", GROUPED, name="grouped heads"),
    Case("Attention", [Q, K[:, :1], V[:, :1]], {"is_causal": 1}, outputs=3, name="one head of keys"),
    Case("Attention", PACKED, HEADS, outputs=3, name="packed"),
    Case(
        "Attention", [PACKED[0], floats(2, 6, 4), floats(2, 6, 3)], {"q_num_heads": 2, "kv_num_heads": 1},
        name="packed, one head of keys",
    ),
    Case("Attention", [*PACKED[:2], floats(2, 6, 6), None, *PAST], HEADS, outputs=3, name="packed, past"),
    Case("Attention", [Q, K, V], {"softmax_precision": TensorProto.FLOAT}, name="precision"),
    Case(
        "Attention", [Q, K, V, BIAS], {"softmax_precision": TensorProto.DOUBLE}, name="double precision", refused=True
    ),
    *[case for mode in range(4) for case in stages(mode)],
    Case("Attention", [Q, K, V, None, None, None, ints(5, 2)], since=24, name="no padding"),
    Case(
        "Attention", [Q, K, V, None, None, None, ints(6, 3)], {"is_causal": 1}, since=24, refused=True,
        name="no padding, causal",
    ),
    Case(
        "Attention", [Q, K, V, BIAS, None, None, ints(0, 6)], {"is_causal": 1, "softcap": 1.0}, since=24, refused=True,
        name="nothing but padding",
    ),
    *[
        Case(
            "Attention", [Q, K, V, mask, *past, *more],
            {"left_window_size": left, "right_window_size": right, **causal}, since=25, refused=True,
            name=f"window {left} {right} {len(past)} {len(more)} {len(causal)}",
        )
        for left, right, mask, past, more, causal in (
            (1, 1, None, [], [], {}),
            (-1, 0, None, [], [], {}),
            (0, -1, SEEN, [], [], {}),
            (2, 3, None, [], [], {"is_causal": 1}),
            (1, -1, floats(4, 8), PAST, [], {"is_causal": 1}),
            (1, 2, BIAS, [None, None], [ints(6, 3)], {}),
        )
    ],
    Case("FlexAttention", [Q, K, V], **FLEX),
    Case("FlexAttention", GROUPED, {"scale": 0.2}, name="grouped", **FLEX),
    Case(
        "FlexAttention", [Q, K, V], {"score_mod": modifier("Mul", 0.5), "prob_mod": modifier("Add", 0.1)},
        name="modified", **FLEX,
    ),
    Case("RotaryEmbedding", [floats(2, 2, 3, 8), COSINE, SINE, PLACES]),
    Case("RotaryEmbedding", [floats(2, 2, 3, 8), floats(2, 3, 4), floats(2, 3, 4)], {"interleaved": 1}, name="pairs"),
    Case("RotaryEmbedding", [TOKENS, COSINE, SINE, PLACES], {"num_heads": 2}, name="packed"),
    Case(
        "RotaryEmbedding", [TOKENS, floats(10, 2), floats(10, 2), PLACES],
        {"num_heads": 2, "rotary_embedding_dim": 4, "interleaved": 1}, name="partial pairs",
    ),
    Case(
        "RotaryEmbedding", [floats(2, 2, 3, 8), floats(2, 3, 2), floats(2, 3, 2)], {"rotary_embedding_dim": 4},
        name="partial",
    ),
    Case("TensorScatter", [floats(2, 3, 5, 4), floats(2, 3, 2, 4), ints(1, 3)]),
    Case("TensorScatter", [floats(2, 3, 5, 4), floats(2, 3, 2, 4)], name="from the start"),
    Case("TensorScatter", [floats(2, 5, 3), floats(2, 5, 3), ints(0, 0)], {"axis": 1}, name="all of it"),
    Case(
        "TensorScatter", [floats(2, 5, 3), floats(2, 3, 3), ints(4, 1)], {"axis": 1, "mode": "circular"},
        formula=rolled, name="circular",
    ),
    *[
        Case(
            "LinearAttention",
            [floats(2, 3, 4 * 4, low=-1, high=1), floats(2, 3, 2 * 4, low=-1, high=1), floats(2, 3, 2 * 3), past,
             floats(2, 3, gate, low=-2, high=-0.1) if "gated" in rule else None,
             floats(2, 3, rate, low=0.1, high=0.9) if "delta" in rule else None],
            {"q_num_heads": 4, "kv_num_heads": 2, "update_rule": rule, **scaled}, outputs=2,
            name=f"{rule} {gate} {rate}",
        )
        for rule, gate, rate, past, scaled in (
            ("linear", 0, 0, None, {}),
            ("gated", 2, 0, floats(2, 2, 4, 3), {}),
            ("gated", 8, 0, None, {"scale": 0.7}),
            ("delta", 0, 2, None, {}),
            ("delta", 0, 1, floats(2, 2, 4, 3), {}),
            ("gated_delta", 2, 2, None, {"chunk_size": 2}),
            ("gated_delta", 8, 1, floats(2, 2, 4, 3), {}),
        )
    ],
    Case("CausalConvWithState", [floats(2, 3, 5), floats(3, 1, 4)], outputs=2),
    Case("CausalConvWithState", [floats(2, 3, 5), floats(3, 1, 4), floats(3), floats(2, 3, 3)], outputs=2, name="past"),
    Case(
        "CausalConvWithState", [floats(2, 3, 1), floats(3, 1, 4), None, floats(2, 3, 3)], {"activation": "silu"},
        outputs=2, name="one step",
    ),
    Case(
        "CausalConvWithState", [floats(2, 3, 2), floats(3, 1, 1), floats(3)], {"activation": "swish"}, outputs=2,
        name="kernel of one",
    ),
    Case("SwiGLU", [floats(2, 3), floats(2, 3)]),
    Case("SwiGLU", [floats(2, 3), floats(2, 3)], {"alpha": 1.702}, name="alpha"),
    Case("CumProd", [floats(2, 3, 4), scalar(1, np.int64)]),
    Case("CumProd", [floats(2, 3, 4), scalar(-1, np.int32)], {"exclusive": 1}, name="exclusive"),
    Case("CumProd", [floats(2, 3, 4), scalar(0, np.int64)], {"reverse": 1}, name="reverse"),
    Case("CumProd", [floats(5), scalar(0, np.int64)], {"reverse": 1, "exclusive": 1}, name="both"),
    Case("CumProd", [np.arange(1, 7, dtype=np.int32), scalar(0, np.int64)], differentiable=False, name="integers"),
    Case("CumProd", [np.array([2, 0, 3, 0, 4], np.float32), scalar(0, np.int64)], name="zeros"),
]  # fmt: skip


@pytest.mark.parametrize("mask", [BLIND, CLOSED], ids=["boolean", "-inf"])
def test_a_query_without_keys_gets_zeros_and_passes_no_gradient(mask: np.ndarray) -> None:
    q, k, v = (torch.tensor(each, requires_grad=True) for each in (Q, K, V))
    y = attention(q, k, v, torch.from_numpy(mask))[0]
    assert not y[:, :, 1::2].any()
    gradients = torch.autograd.grad(y[:, :, 1::2].sum(), (q, k, v))
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_half_precision_is_rounded_once(dtype: torch.dtype, tolerance: float) -> None:
    halves = [torch.from_numpy(each).to(dtype) for each in (Q, K, V)]
    exact = attention(*[each.double() for each in halves], torch.from_numpy(SEEN))[0]
    y, keys, _ = attention(*halves, torch.from_numpy(SEEN))[:3]
    assert y.dtype is keys.dtype is dtype
    torch.testing.assert_close(y.double(), exact, rtol=tolerance, atol=tolerance)


def test_state_and_output_of_linear_attention_keep_their_types() -> None:
    tokens = torch.from_numpy(floats(1, 3, 4)).half()
    state = torch.from_numpy(floats(1, 2, 2, 2))
    y, kept = linear_attention(tokens, tokens, tokens, state, q_num_heads=2, kv_num_heads=2, update_rule="linear")
    assert (y.dtype, kept.dtype) == (torch.float16, torch.float32)


def test_many_steps_agree_with_few_at_a_time() -> None:
    tokens = [torch.from_numpy(floats(1, 6, 8, low=-1, high=1)).double() for _ in range(3)]
    gate, rate = torch.from_numpy(floats(1, 6, 2, low=-1, high=-0.1)), torch.from_numpy(floats(1, 6, 2, low=0, high=1))
    inputs = [*tokens, gate.double(), rate.double()]

    def attend(first: int, last: int, state: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
        q, k, v, g, b = (each[:, first:last] for each in inputs)
        return linear_attention(q, k, v, state, g, b, q_num_heads=2, kv_num_heads=2)

    whole, end = attend(0, 6, None)
    early, state = attend(0, 4, None)
    late, final = attend(4, 6, state)
    torch.testing.assert_close(torch.cat((early, late), 1), whole)
    torch.testing.assert_close(final, end)


def test_attention_of_a_weight_trains_it() -> None:
    case = Case("Attention", [Q, K, V], constant=(1, 2))
    module = convert(check_model(case.model(23).SerializeToString()), train=["x1", "x2"])
    module(torch.from_numpy(Q))[0].square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in module.initializers.values())
    assert set(module.initializers) == {"x1", "x2"}
