"""If, Loop and Scan: the host decides, the bodies share the weights of the graph around them."""

import math
from collections.abc import Sequence
from typing import Any, Final

import torch

from analysis.convert.registry import Body, Ints, Mode, NodeName, OutputCount, RunMode, Tensor, op
from analysis.errors import LimitExceeded

MAX_TRIPS: Final = 200_000
"""Of all Loops in one pass, those inside of others included."""
MAX_BYTES: Final = 1 << 29
"""From which what a Loop carries and collects is refused."""


@op("If")
def if_(
    condition: Tensor, *, then_branch: Body, else_branch: Body, mode: Mode, node: NodeName
) -> tuple[Any, ...]:  # fmt: skip
    """The outputs of one branch."""
    first = bool(condition)
    if mode.watch_branches is not None:
        mode.watch_branches(node, first)
    return then_branch() if first else else_branch()


@op("Loop")
def loop(
    trip_count: Tensor | None = None, condition: Tensor | None = None, *carried: Any, body: Body,
    outputs: OutputCount = 1, mode: Mode, node: NodeName,
) -> tuple[Any, ...]:  # fmt: skip
    """Carried values after the last trip, then each scan output stacked over trips.

    The body's condition counts also where the node omits its own, as in onnxruntime; the operator page and onnx's
    reference ignore it there.
    """
    trips = math.inf if trip_count is None else int(trip_count)
    running = condition is None or bool(condition)
    rows: list[tuple[Tensor, ...]] = []
    trip = collected = 0
    while running and trip < trips:
        _count_trip(mode, node)
        values = body(torch.tensor(trip), torch.tensor(running), *carried)
        running = bool(values[0])
        carried = values[1 : len(carried) + 1]
        _show(mode, node, 0, trip, carried)
        rows.append(values[len(carried) + 1 :])
        collected += _bytes_of(rows[-1])
        _check_bytes(_bytes_of(carried) + collected, node)
        trip += 1
    if not rows and outputs > len(carried):
        start = torch.tensor(0), torch.tensor(True)  # noqa: FBT003 - torch's signature
        axes = [0] * (outputs - len(carried))
        return (*carried, *_no_rows(body, (*start, *carried), len(carried) + 1, axes))
    return (*carried, *map(torch.stack, zip(*rows, strict=True)))


def _count_trip(mode: RunMode, node: str) -> None:
    mode.trips += 1
    if mode.trips > MAX_TRIPS:
        raise LimitExceeded(
            f"the Loops of one pass run more than {MAX_TRIPS} trips",
            where=node,
            hint="check the condition of this Loop and the data that lead to it",
        )


def _bytes_of(values: Sequence[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, Tensor))


def _check_bytes(size: int, node: str) -> None:
    if size >= MAX_BYTES:
        raise LimitExceeded(
            f"a Loop carries and collects {size} bytes, fewer than {MAX_BYTES} are allowed",
            where=node,
            hint="send a smaller batch, or check what this Loop carries from trip to trip",
        )


def _show(mode: RunMode, node: str, chain: int, step: int, carried: Sequence[Any]) -> None:
    if mode.watch_states is not None:
        mode.watch_states(node, chain, step, [value for value in carried if isinstance(value, Tensor)])


def _no_rows(body: Body, inputs: Sequence[Any], first: int, axes: Sequence[int]) -> list[Tensor]:
    """The scan outputs of no trip, without rows along these axes: only a trip tells their types and sizes."""
    with torch.no_grad():
        values = body(*inputs)[first:]
    return [value.unsqueeze(axis).narrow(axis, 0, 0) for value, axis in zip(values, axes, strict=False)]


@op("Scan", 8)
def scan_8(
    lengths: Tensor | None, *inputs: Tensor, body: Body, num_scan_inputs: int, directions: Ints | None = None,
    outputs: OutputCount = 1,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Before opset 9 each sample [N, ..] by itself, over its own number of steps; zeros follow its scan outputs."""
    count = len(inputs) - num_scan_inputs
    samples, steps = inputs[count].shape[:2]
    results = []
    for n, end in enumerate([steps] * samples if lengths is None else lengths.tolist()):
        own = (*(x[n] for x in inputs[:count]), *(x[n, :end] for x in inputs[count:]))
        values = scan(
            *own, body=body, num_scan_inputs=num_scan_inputs, scan_input_directions=directions, outputs=outputs,
            mode=RunMode(), node="",
        )  # fmt: skip
        padded = (torch.cat([y, y.new_zeros(steps - end, *y.shape[1:])]) for y in values[count:])
        results.append((*values[:count], *padded))
    return tuple(map(torch.stack, zip(*results, strict=True)))


@op("Scan", 9)
def scan(
    *inputs: Tensor, body: Body, num_scan_inputs: int, scan_input_axes: Ints | None = None,
    scan_input_directions: Ints | None = None, scan_output_axes: Ints | None = None,
    scan_output_directions: Ints | None = None, outputs: OutputCount = 1, mode: Mode, node: NodeName,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Last states, then each scan output stacked along its axis."""
    count = len(inputs) - num_scan_inputs
    states, scanned = inputs[:count], inputs[count:]
    axes = scan_input_axes or (0,) * num_scan_inputs
    backwards = scan_input_directions or (0,) * num_scan_inputs
    steps = [(x.flip(axis) if back else x).unbind(axis) for x, axis, back in zip(scanned, axes, backwards, strict=True)]
    rows: list[tuple[Tensor, ...]] = []
    for place, step in enumerate(zip(*steps, strict=True)):
        values = body(*states, *step)
        states = values[:count]
        _show(mode, node, 0, len(steps[0]) - 1 - place if backwards[0] else place, states)
        rows.append(values[count:])
    output_axes = scan_output_axes or (0,) * (outputs - count)
    if not rows and outputs > count:
        single = [x.new_zeros([n for place, n in enumerate(x.shape) if place != axis % x.ndim])
                  for x, axis in zip(scanned, axes, strict=True)]  # fmt: skip
        return (*states, *_no_rows(body, (*states, *single), count, output_axes))
    output_backwards = scan_output_directions or (0,) * (outputs - count)
    columns = zip(zip(*rows, strict=True), output_axes, output_backwards, strict=False)
    return (*states, *(torch.stack(column[::-1] if back else column, axis) for column, axis, back in columns))
