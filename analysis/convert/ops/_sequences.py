"""A recurrent cell run over time: directions, sequences of several lengths, states that are watched.

T steps, N samples, D directions, H hidden units.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.registry import RunMode, Tensor
from analysis.errors import UnsupportedOp

FORWARD, REVERSE, BOTH = "forward", "reverse", "bidirectional"
Activation = Callable[[Tensor], Tensor]
State = tuple[Tensor, ...]
Show = Callable[[int, int, State], None]
"""(direction, step in the order of time, states that it computes: nobody reads those of a padded step)."""
Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(values, matrix, bias) -> values matrix' + bias."""
Cell = Callable[[Tensor, State], State]
"""(input part of one step [N, G H], state) -> next state; the first state is the output."""
ALPHA: Final = {"affine": 1.0, "leakyrelu": 0.01, "thresholdedrelu": 1.0, "scaledtanh": 1.0, "hardsigmoid": 0.2,
                "elu": 1.0}  # fmt: skip
BETA: Final = {"affine": 0.0, "scaledtanh": 1.0, "hardsigmoid": 0.5}


def _activation(name: str, alpha: float, beta: float) -> Activation:
    table: dict[str, Activation] = {
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softsign": F.softsign,
        "softplus": F.softplus,
        "affine": lambda x: alpha * x + beta,
        "leakyrelu": lambda x: F.leaky_relu(x, alpha),
        "thresholdedrelu": lambda x: torch.where(x > alpha, x, torch.zeros_like(x)),
        "scaledtanh": lambda x: alpha * torch.tanh(beta * x),
        "hardsigmoid": lambda x: (alpha * x + beta).clamp(0, 1),
        "elu": lambda x: F.elu(x, alpha),
    }
    if name not in table:
        raise UnsupportedOp(f"recurrent activation {name!r}")
    return table[name]


def activations_of(names: Sequence[str], alphas: Sequence[float], betas: Sequence[float]) -> list[Activation]:
    """Alphas and betas are consumed in order by the functions that take one."""
    alpha, beta = iter(alphas), iter(betas)
    chosen = []
    for name in (name.lower() for name in names):
        a = next(alpha, ALPHA[name]) if name in ALPHA else 0.0
        b = next(beta, BETA[name]) if name in BETA else 0.0
        chosen.append(_activation(name, a, b))
    return chosen


@dataclass(frozen=True, slots=True)
class Direction:
    """The weights of one direction."""

    w: Tensor
    r: Tensor
    input_bias: Tensor | None
    recurrent_bias: Tensor | None
    reverse: bool
    activations: list[Activation]
    peephole: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Sequences:
    """What a recurrent operator is asked to run over, time first."""

    x: Tensor
    lengths: Tensor | None
    states: tuple[Tensor, ...]
    """Initial states, each [D, N, H]."""
    show: Show | None


def directions_of(
    w: Tensor, r: Tensor, b: Tensor | None, direction: str, activations: list[Activation], p: Tensor | None = None
) -> Iterator[Direction]:
    count = w.shape[0]
    each = len(activations) // count
    for d in range(count):
        biases: Sequence[Tensor | None] = (None, None) if b is None else b[d].chunk(2)
        own = activations[d * each : (d + 1) * each]
        reverse = direction == REVERSE or d == 1
        yield Direction(w[d], r[d], biases[0], biases[1], reverse, own, None if p is None else p[d])


def prepare(
    x: Tensor, lengths: Tensor | None, initial: Sequence[Tensor | None], w: Tensor, hidden: int, layout: int,
    mode: RunMode, node: str,
) -> Sequences:  # fmt: skip
    if layout:
        x = x.transpose(0, 1)
        initial = [state if state is None else state.transpose(0, 1) for state in initial]
    zeros = x.new_zeros(w.shape[0], x.shape[1], hidden)
    lengths = None if lengths is None else lengths.to(x.device)
    show = None if mode.watch_states is None else partial(mode.watch_states, node)
    return Sequences(x, lengths, tuple(zeros if state is None else state for state in initial), show)


def scan(
    sequences: Sequences, d: int, direction: Direction, cell: Cell, product: Product = F.linear
) -> tuple[Tensor, State]:
    """Run a cell over time: all outputs [T, N, H] and the last state; the output of a sample that has ended is 0."""
    x = reversed_in_time(sequences.x, sequences.lengths) if direction.reverse else sequences.x
    projected = product(x, direction.w, direction.input_bias)
    state = entering = tuple(initial[d] for initial in sequences.states)
    outputs = []
    for step, part in enumerate(projected.unbind(0)):
        following = cell(part, entering)
        if sequences.lengths is None:
            state = following
            outputs.append(state[0])
        else:
            running = (step < sequences.lengths).unsqueeze(1)
            state = tuple(torch.where(running, new, old) for new, old in zip(following, state, strict=True))
            outputs.append(torch.where(running, state[0], torch.zeros_like(state[0])))
        entering = (outputs[-1], *state[1:])
        if sequences.show is not None:
            sequences.show(d, x.shape[0] - 1 - step if direction.reverse else step, following)
    stacked = torch.stack(outputs) if outputs else x.new_zeros(0, x.shape[1], direction.r.shape[1])
    return (reversed_in_time(stacked, sequences.lengths) if direction.reverse else stacked), state


def reversed_in_time(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each sequence backwards; padding stays where it is."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    place = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.gather(0, place.unsqueeze(-1).expand(-1, -1, x.shape[2]))


def collect(results: Sequence[tuple[Tensor, State]], layout: int) -> tuple[Tensor, ...]:
    """Y and the last states, in the layout asked for."""
    y = torch.stack([outputs for outputs, _ in results], 1)
    last = [torch.stack(states) for states in zip(*(state for _, state in results), strict=True)]
    if layout:
        return (y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in last))
    return (y, *last)


def clamped(limit: float | None) -> Activation:
    return (lambda x: x) if limit is None else (lambda x: x.clamp(-limit, limit))
