"""If, Loop and Scan: the host decides, the bodies share the weights of the graph around them."""

from typing import Any, Final

import torch

from analysis.errors import LimitExceeded
from analysis.ops._registry import Body, Ints, OutputCount, Tensor, op

MAX_TRIPS: Final = 1_000_000


@op("If")
def if_(condition: Tensor, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    """The outputs of one branch."""
    return then_branch() if bool(condition) else else_branch()


@op("Loop")
def loop(
    trip_count: Tensor | None = None, condition: Tensor | None = None, *carried: Tensor, body: Body,
    outputs: OutputCount = 1,
) -> tuple[Any, ...]:  # fmt: skip
    """Carried values after the last trip, then each scan output stacked over trips."""
    trips = MAX_TRIPS if trip_count is None else int(trip_count)
    running = condition is None or bool(condition)
    rows: list[tuple[Any, ...]] = []
    trip = 0
    while running and trip < trips:
        if trip >= MAX_TRIPS:
            raise LimitExceeded(f"a Loop runs more than {MAX_TRIPS} trips")
        values = body(torch.tensor(trip), torch.tensor(running), *carried)
        running = bool(values[0])
        carried = values[1 : len(carried) + 1]
        rows.append(values[len(carried) + 1 :])
        trip += 1
    if not rows and outputs > len(carried):
        return (*carried, *_empty_scans(body, carried))
    return (*carried, *(torch.stack(column) for column in zip(*rows, strict=True)))


def _empty_scans(body: Body, carried: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The scan outputs of no trip, [0, ...]: only a trip tells their types and sizes."""
    with torch.no_grad():
        values = body(torch.tensor(0), torch.tensor(True), *carried)  # noqa: FBT003 - torch's signature
    return tuple(value.new_empty((0, *value.shape)) for value in values[len(carried) + 1 :])


@op("Scan", 9)
def scan(
    *inputs: Tensor, body: Body, num_scan_inputs: int, scan_input_axes: Ints | None = None,
    scan_input_directions: Ints | None = None, scan_output_axes: Ints | None = None,
    scan_output_directions: Ints | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """Last states, then each scan output stacked along its axis."""
    count = len(inputs) - num_scan_inputs
    states = inputs[:count]
    axes = scan_input_axes or (0,) * num_scan_inputs
    backwards = scan_input_directions or (0,) * num_scan_inputs
    sequences = [
        (x.flip(axis) if back else x).unbind(axis)
        for x, axis, back in zip(inputs[count:], axes, backwards, strict=True)
    ]
    rows: list[tuple[Any, ...]] = []
    for step in zip(*sequences, strict=True):
        outputs = body(*states, *step)
        states = outputs[:count]
        rows.append(outputs[count:])
    stacked = []
    for place, column in enumerate(zip(*rows, strict=True)):
        axis = scan_output_axes[place] if scan_output_axes else 0
        back = scan_output_directions[place] if scan_output_directions else 0
        stacked.append(torch.stack(column[::-1] if back else column, axis))
    return (*states, *stacked)
