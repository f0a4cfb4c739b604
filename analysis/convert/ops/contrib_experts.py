"""Mixtures of experts of com.microsoft: each token x [T, H] goes through the k of E small networks that a router chose.

Source: onnxruntime's schemas, and its kernels for the CPU, which compute `relu`, `gelu` (by tanh), `silu`, `identity`
and interleaved `swiglu`; the third layer and the other layouts of `swiglu` are as the schemas say.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops import contrib
from analysis.convert.registry import Tensor, op
from analysis.errors import UnsupportedOp

GATED: Final = "swiglu"
ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "relu": F.relu,
    "gelu": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "identity": torch.Tensor.clone,
}
SEPARATE, INTERLEAVED, BEHIND = 0, 1, 2
"""Where the linear half of a gated layer is: in the third layer, between the rows of the first one, behind them."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """A weight [E, out, in] and a bias [E, out] for each expert."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """X [E, T, in] or [T, in], which all experts read, to [E, T, out]."""
        y = x @ self.weight.mT
        return y if self.bias is None else y + self.bias[:, None]


@dataclass(frozen=True, slots=True)
class _Gate:
    """Numbers of the swiglu g sigmoid(alpha g) (l + beta)."""

    fusion: int
    alpha: float
    beta: float
    limit: float

    def __call__(self, hidden: Tensor, linear: Tensor | None) -> Tensor:
        if self.fusion == INTERLEAVED:
            gates, linear = hidden[..., ::2], hidden[..., 1::2]
        elif self.fusion == BEHIND:
            gates, linear = hidden.chunk(2, -1)
        elif linear is not None:
            gates = hidden
        else:
            raise UnsupportedOp("swiglu without a third layer")
        gates, linear = gates.clamp(max=self.limit), linear.clamp(-self.limit, self.limit)
        return gates * torch.sigmoid(self.alpha * gates) * (linear + self.beta)


def _mixture(
    x: Tensor, shares: Tensor, first: _Layer, second: _Layer, third: _Layer | None, activation: str, gate: _Gate
) -> Tensor:
    """Sum over experts of their share [T, E] of a token times what they make of it: every expert sees every token."""
    if activation != GATED and activation not in ACTIVATIONS:
        raise UnsupportedOp(f"activation {activation} in a mixture of experts")
    tokens = x.reshape(-1, x.shape[-1])
    hidden, linear = first(tokens), None if third is None else third(tokens)
    if activation == GATED:
        hidden = gate(hidden, linear)
    else:
        hidden = ACTIVATIONS[activation](hidden)
        hidden = hidden if linear is None else hidden * linear
    return torch.einsum("te,eto->to", shares, second(hidden)).reshape(x.shape)


def _shares(scores: Tensor, given: Tensor | None, k: int, *, normalize: bool, sparse: bool) -> Tensor:
    """The share [T, E] of each expert: softmax of the k best scores, or what is given for them; zero of the others."""
    if sparse:
        raise UnsupportedOp("mixture of experts with a sparse mixer")
    chosen = scores.topk(k, -1).indices
    shares = (torch.softmax(scores, -1) if given is None else given).gather(-1, chosen)
    if normalize:
        shares = shares / shares.sum(-1, keepdim=True)
    return torch.zeros_like(scores).scatter(-1, chosen, shares)


def _refuse_late_limit(asked: int) -> None:
    """No kernel for the CPU shows what it does."""
    if asked:
        raise UnsupportedOp("swiglu that is limited behind its activation")


@op("MoE", domain=contrib.MICROSOFT)
def mixture_of_experts(
    x: Tensor, router_probs: Tensor, fc1: Tensor, fc1_bias: Tensor | None, fc2: Tensor, fc2_bias: Tensor | None = None,
    fc3: Tensor | None = None, fc3_bias: Tensor | None = None, *, activation_alpha: float = 1.0,
    activation_beta: float = 0.0, activation_type: str = "relu", k: int = 1, normalize_routing_weights: int = 0,
    swiglu_fusion: int = SEPARATE, swiglu_limit: float = math.inf, swiglu_limit_after_activation: int = 0,
    use_sparse_mixer: int = 0,
) -> Tensor:  # fmt: skip
    """Experts of floats; `router_probs` [T, E] are scores, in spite of their name."""
    _refuse_late_limit(swiglu_limit_after_activation)
    shares = _shares(router_probs, None, k, normalize=bool(normalize_routing_weights), sparse=bool(use_sparse_mixer))
    third = None if fc3 is None else _Layer(fc3, fc3_bias)
    gate = _Gate(swiglu_fusion, activation_alpha, activation_beta, swiglu_limit)
    return _mixture(x, shares, _Layer(fc1, fc1_bias), _Layer(fc2, fc2_bias), third, activation_type, gate)


@op("QMoE", domain=contrib.MICROSOFT)
def quantized_mixture_of_experts(
    x: Tensor, router_probs: Tensor, fc1: Tensor, fc1_scales: Tensor | None, fc1_bias: Tensor | None, fc2: Tensor,
    fc2_scales: Tensor | None, fc2_bias: Tensor | None = None, fc3: Tensor | None = None,
    fc3_scales: Tensor | None = None, fc3_bias: Tensor | None = None, fc1_zero_points: Tensor | None = None,
    fc2_zero_points: Tensor | None = None, fc3_zero_points: Tensor | None = None, router_weights: Tensor | None = None,
    *refused: Tensor | None, accuracy_level: int = 0, activation_alpha: float = 1.0, activation_beta: float = 0.0,
    activation_type: str = "relu", block_size: int = 0, expert_weight_bits: int = 4,
    fc1_expert_weight_bits: int = 0, fc2_expert_weight_bits: int = 0, fc3_expert_weight_bits: int = 0, k: int = 1,
    normalize_routing_weights: int = 0, quant_type: str = "int", swiglu_fusion: int = SEPARATE,
    swiglu_limit: float = math.inf, swiglu_limit_after_activation: int = 0, use_sparse_mixer: int = 0,
    weights_prepacked: int = -1,
) -> Tensor:  # fmt: skip
    """Experts whose weights are integers of a few bits, with a scale for each row or for each block of one."""
    _refuse_late_limit(swiglu_limit_after_activation)
    if quant_type != "int" or any(each is not None for each in refused):
        raise UnsupportedOp(f"QMoE of type {quant_type}")
    shares = _shares(
        router_probs, router_weights, k, normalize=bool(normalize_routing_weights), sparse=bool(use_sparse_mixer)
    )
    floats = partial(_floats, bits=expert_weight_bits, dtype=x.dtype)
    first = _Layer(floats(fc1, fc1_scales, fc1_zero_points, fc1_expert_weight_bits), fc1_bias)
    second = _Layer(floats(fc2, fc2_scales, fc2_zero_points, fc2_expert_weight_bits), fc2_bias)
    third = None
    if fc3 is not None:
        third = _Layer(floats(fc3, fc3_scales, fc3_zero_points, fc3_expert_weight_bits), fc3_bias)
    gate = _Gate(swiglu_fusion, activation_alpha, activation_beta, swiglu_limit)
    return _mixture(x, shares, first, second, third, activation_type, gate)


def _floats(
    packed: Tensor, scales: Tensor | None, zero_points: Tensor | None, own_bits: int, *, bits: int, dtype: torch.dtype
) -> Tensor:
    """The numbers [E, out, in] that bytes [E, out, in bits / 8] stand for."""
    bits = own_bits or bits
    if 8 % bits or scales is None:
        raise UnsupportedOp(f"QMoE of {bits} bits" if 8 % bits else "QMoE without scales")
    numbers = contrib.unpacked(packed, bits)
    by_block = scales.reshape(*numbers.shape[:2], -1)
    zeros = torch.full_like(by_block, 2 ** (bits - 1), dtype=torch.int32)
    if zero_points is not None:  # as many bytes as a row of blocks takes, or one after the other for all rows
        unpacked = contrib.unpacked(zero_points, bits)
        by_row = unpacked[..., : by_block.shape[2]] if zero_points.ndim == 3 else unpacked[:, : by_block.shape[1], None]
        zeros = by_row.expand_as(by_block)
    block = torch.arange(numbers.shape[-1], device=packed.device) // (numbers.shape[-1] // by_block.shape[-1])
    return (numbers - zeros[..., block]).to(dtype) * by_block.to(dtype)[..., block]
