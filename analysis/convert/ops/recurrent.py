"""RNN, GRU and LSTM with every attribute, unrolled over time.

Letters: T steps, N samples, I inputs, H units, D directions, G gates. X [T, N, I], W [D, G H, I], R [D, G H, H],
B [D, 2 G H] (input biases, then recurrent ones), initial states [D, N, H], Y [T, D, N, H]; with layout = 1 the batch
comes first everywhere. The input product of all steps is one matrix product; only the recurrence is a loop. The plain
cases go through torch's fused loops, which compute the same (a test holds them to it), unless somebody watches the
states: `RunMode.watch_states` is shown those of each step, one chain per direction.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops._sequences import (
    BOTH,
    FORWARD,
    REVERSE,
    Activation,
    Cell,
    Direction,
    Product,
    Sequences,
    State,
    activations_of,
    clamped,
    collect,
    directions_of,
    prepare,
    scan,
)
from analysis.convert.registry import Ints, Mode, NodeName, RunMode, Tensor, op

# ------------------------------------------------------------------ the three operators


@op("RNN")
def rnn(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, *, activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None, activations: list[str] | None = None, clip: float | None = None,
    direction: str = FORWARD, hidden_size: int | None = None, layout: int = 0, output_sequence: int = 0,
    mode: Mode, node: NodeName,
) -> tuple[Tensor, ...]:  # fmt: skip
    """H = f(x W' + h R' + b) (Elman 1990)."""
    names = activations or ["Tanh"] * w.shape[0]
    sequences = prepare(x, sequence_lens, (initial_h,), w, r.shape[2], layout, mode, node)
    if _is_plain(sequences, clip, names, ["tanh"]) or _is_plain(sequences, clip, names, ["relu"]):
        kind = "RNN_TANH" if names[0].lower() == "tanh" else "RNN_RELU"
        return _fused(kind, sequences, w, r, b, direction, layout)
    chosen = activations_of(names, activation_alpha or (), activation_beta or ())
    clamp = clamped(clip)
    results = []
    for d, weights in enumerate(directions_of(w, r, b, direction, chosen)):
        (f,) = weights.activations

        def cell(part: Tensor, state: State, weights: Direction = weights, f: Activation = f) -> State:
            return (f(clamp(part + F.linear(state[0], weights.r, weights.recurrent_bias))),)

        results.append(scan(sequences, d, weights, cell))
    return collect(results, layout)


@op("GRU")
def gru(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, *, activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None, activations: list[str] | None = None, clip: float | None = None,
    direction: str = FORWARD, hidden_size: int | None = None, layout: int = 0, linear_before_reset: int = 0,
    output_sequence: int = 0, mode: Mode, node: NodeName,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gates z, r, candidate n; h = (1 - z) n + z h (Cho 2014). Gate order z r h."""
    names = activations or ["Sigmoid", "Tanh"] * w.shape[0]
    sequences = prepare(x, sequence_lens, (initial_h,), w, r.shape[2], layout, mode, node)
    if linear_before_reset and _is_plain(sequences, clip, names, ["sigmoid", "tanh"]):
        return _fused("GRU", sequences, w, r, b, direction, layout)
    chosen = activations_of(names, activation_alpha or (), activation_beta or ())
    clamp = clamped(clip)
    results = []
    for d, weights in enumerate(directions_of(w, r, b, direction, chosen)):
        cell = _gru_cell(weights, clamp, linear_before_reset=bool(linear_before_reset))
        results.append(scan(sequences, d, weights, cell))
    return collect(results, layout)


def _gru_cell(weights: Direction, clamp: Activation, *, linear_before_reset: bool) -> Cell:
    f, g = weights.activations
    hidden = weights.r.shape[1]
    gates, candidate = weights.r[: 2 * hidden], weights.r[2 * hidden :]
    bias = weights.recurrent_bias
    gate_bias, candidate_bias = (None, None) if bias is None else (bias[: 2 * hidden], bias[2 * hidden :])

    def cell(part: Tensor, state: State) -> State:
        (h,) = state
        z, reset = f(clamp(part[:, : 2 * hidden] + F.linear(h, gates, gate_bias))).chunk(2, 1)
        if linear_before_reset:
            remembered = reset * F.linear(h, candidate, candidate_bias)
        else:
            remembered = F.linear(reset * h, candidate, candidate_bias)
        new = g(clamp(part[:, 2 * hidden :] + remembered))
        return ((1 - z) * new + z * h,)

    return cell


@op("LSTM")
def lstm(
    x: Tensor, w: Tensor, r: Tensor, b: Tensor | None = None, sequence_lens: Tensor | None = None,
    initial_h: Tensor | None = None, initial_c: Tensor | None = None, p: Tensor | None = None, *,
    activation_alpha: list[float] | None = None, activation_beta: list[float] | None = None,
    activations: list[str] | None = None, clip: float | None = None, direction: str = FORWARD,
    hidden_size: int | None = None, input_forget: int = 0, layout: int = 0, output_sequence: int = 0, mode: Mode,
    node: NodeName,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Gates i, o, f, candidate g; c = f c + i g; h = o tanh(c) (Hochreiter 1997). Gate order i o f c."""
    return lstm_with(
        F.linear, x, w, r, b, sequence_lens, (initial_h, initial_c), p, activation_alpha, activation_beta, activations,
        clip, direction, input_forget, layout, mode, node,
    )  # fmt: skip


def lstm_with(
    product: Product, x: Tensor, w: Tensor, r: Tensor, b: Tensor | None, lengths: Tensor | None,
    initial: Sequence[Tensor | None], p: Tensor | None, activation_alpha: list[float] | None,
    activation_beta: list[float] | None, activations: list[str] | None, clip: float | None, direction: str,
    input_forget: int, layout: int, mode: RunMode, node: str,
) -> tuple[Tensor, ...]:  # fmt: skip
    """An LSTM whose values meet its matrices in this product."""
    names = activations or ["Sigmoid", "Tanh", "Tanh"] * w.shape[0]
    sequences = prepare(x, lengths, initial, w, r.shape[2], layout, mode, node)
    plain = product is F.linear and p is None and not input_forget
    if plain and _is_plain(sequences, clip, names, ["sigmoid", "tanh", "tanh"]):
        return _fused("LSTM", sequences, w, r, b, direction, layout)
    chosen = activations_of(names, activation_alpha or (), activation_beta or ())
    clamp = clamped(clip)
    results = []
    for d, weights in enumerate(directions_of(w, r, b, direction, chosen, p)):
        cell = _lstm_cell(weights, clamp, product, input_forget=bool(input_forget))
        results.append(scan(sequences, d, weights, cell, product))
    return collect(results, layout)


def _lstm_cell(weights: Direction, clamp: Activation, product: Product, *, input_forget: bool) -> Cell:
    f, g, h_activation = weights.activations
    peepholes: Sequence[Tensor] | None = None if weights.peephole is None else weights.peephole.chunk(3)

    def cell(part: Tensor, state: State) -> State:
        h, c = state
        i, o, forget, candidate = (part + product(h, weights.r, weights.recurrent_bias)).chunk(4, 1)
        if peepholes is not None:
            i, forget = i + peepholes[0] * c, forget + peepholes[2] * c
        i = f(clamp(i))
        forget = 1 - i if input_forget else f(clamp(forget))
        c = forget * c + i * g(clamp(candidate))
        if peepholes is not None:
            o = o + peepholes[1] * c
        return f(clamp(o)) * h_activation(c), c

    return cell


# ------------------------------------------------------------------ torch's fused loops

STATES: Final = ("initial_h", "initial_c")
GATE_ORDER: Final[dict[str, Ints]] = {
    "LSTM": (0, 2, 3, 1),
    "GRU": (1, 0, 2),
    "RNN_TANH": (0,),
    "RNN_RELU": (0,),
}
"""Where torch's gates (LSTM i f g o, GRU r z n) lie in ONNX's order."""


def _is_plain(sequences: Sequences, clip: float | None, names: Sequence[str], fused: Sequence[str]) -> bool:
    """Whether the operator is what torch computes: these functions, in this order, in every direction; unwatched."""
    if sequences.lengths is not None or sequences.show is not None or clip is not None:
        return False
    return [name.lower() for name in names] == [*fused] * (len(names) // len(fused))


def _fused(
    kind: str, sequences: Sequences, w: Tensor, r: Tensor, b: Tensor | None, direction: str, layout: int
) -> tuple[Tensor, ...]:
    """The same through torch's kernels, gates put into torch's order."""
    _refuse_misfits(sequences, w, r, b, gates=len(GATE_ORDER[kind]), directions=2 if direction == BOTH else 1)
    flat: list[Tensor] = []
    for d in range(w.shape[0]):
        flat += [_reorder(w[d], kind), _reorder(r[d], kind)]
        if b is not None:
            flat += [_reorder(half, kind) for half in b[d].chunk(2)]
    x = sequences.x.flip(0) if direction == REVERSE else sequences.x
    states = [state.contiguous() for state in sequences.states]
    kernel = getattr(torch._VF, kind.lower())  # noqa: SLF001 - what torch.nn.LSTM itself calls
    first = states if kind == "LSTM" else states[0]
    both = direction == BOTH
    training = True  # without dropout it changes nothing, but cuDNN has no gradients otherwise
    y, *last = kernel(x, first, flat, b is not None, 1, 0.0, training, both, False)  # noqa: FBT003 - torch's signature
    y = y.unflatten(2, (w.shape[0], -1)).transpose(1, 2)
    y = y.flip(0) if direction == REVERSE else y
    if layout:
        return (y.permute(2, 0, 1, 3), *(state.transpose(0, 1) for state in last))
    return (y, *last)


def _refuse_misfits(
    sequences: Sequences, w: Tensor, r: Tensor, b: Tensor | None, *, gates: int, directions: int
) -> None:
    """Torch's kernels trust their caller, and read and write past the end of a tensor that does not fit."""
    (_, samples, features), hidden = sequences.x.shape, r.shape[-1]
    wanted = [
        ("W", w, (directions, gates * hidden, features)),
        ("R", r, (directions, gates * hidden, hidden)),
        ("B", b, (directions, 2 * gates * hidden)),
        *((name, state, (directions, samples, hidden)) for name, state in zip(STATES, sequences.states, strict=False)),
    ]
    for name, tensor, shape in wanted:
        if tensor is not None and tensor.shape != shape:
            raise ValueError(
                f"{name} is {list(tensor.shape)} where {list(shape)} is needed for X {list(sequences.x.shape)}"
            )


def _reorder(rows: Tensor, kind: str) -> Tensor:
    order = GATE_ORDER[kind]
    if len(order) == 1:
        return rows
    gates = rows.chunk(len(order))
    return torch.cat([gates[gate] for gate in order])
