"""Recurrent layers as lines of PyTorch: what treatments of their weights, gates and cells are when written by hand.

As `analysis.interventions.shelf` draws them: gate by gate, orthogonal or the identity between time steps, Xavier's for
what enters, biases zero, and the gate that keeps the state open. torch's order is i f g o (LSTM) and r z n (GRU), so in
both the gate that keeps is the second.
"""

import math
from collections.abc import Iterator
from typing import Final

from analysis.render._code_line import Line
from analysis.report import Report

GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
BETWEEN: Final = {
    "xavier": "nn.init.xavier_normal_",
    "xavier_uniform": "nn.init.xavier_uniform_",
    "orthogonal": "nn.init.orthogonal_",
    "orthogonal_memory": "nn.init.orthogonal_",
    "orthogonal_long": "nn.init.orthogonal_",
    "identity_rnn": "nn.init.eye_",
}
"""By level of the initialisation: how a gate of the weights between time steps is drawn."""
CELLS: Final = {"identity_rnn": "relu", "orthogonal_long": "tanh"}
"""By level: what a plain cell computes afterwards."""
QUIET: Final = 0.03
"""Of `orthogonal_long`, for what enters a plain cell."""


def cells(report: Report, level: str) -> Iterator[Line]:
    """What plain cells are made with; what they were made with before is not known here."""
    after = CELLS.get(level)
    if after is not None and any(layer.op == "RNN" for layer in report.layers):
        yield Line("+" if level == "identity_rnn" else " ", f'nn.RNN(..., nonlinearity="{after}")  # every plain cell')


def draw(report: Report, level: str) -> Iterator[Line]:
    """Inside `for layer in model.modules()`."""
    ops = {layer.op for layer in report.layers} & GATES.keys()
    between = BETWEEN.get(level)
    for op in sorted(ops) if between else ():
        entering = "nn.init.xavier_uniform_" if level == "xavier_uniform" else "nn.init.xavier_normal_"
        yield Line("+", f"    if isinstance(layer, nn.{op}):")
        yield Line("+", "        for name, values in layer.named_parameters():")
        yield Line("+", f"            for gate in values.data.chunk({GATES[op]}):")
        yield Line("+", '                if name.startswith("weight_hh"):')
        yield Line("+", f"                    {between}(gate)")
        yield Line("+", '                elif name.startswith("weight_ih"):')
        if op == "RNN" and level == "orthogonal_long":
            yield Line("+", f'                    {entering}(gate, gain={QUIET:g} if "_l0" in name else 1)')
        else:
            yield Line("+", f"                    {entering}(gate)")
        yield Line("+", "                else:")
        yield Line("+", "                    nn.init.zeros_(gate)")
        kept = None if op == "RNN" else _kept(report, level)
        if kept is not None:
            what = "forget gate" if op == "LSTM" else "update gate"
            yield Line("+", '            if name.startswith("bias_ih"):')
            yield Line("+", f"                values.data.chunk({GATES[op]})[1].fill_({kept:g})  # the {what}")


def _kept(report: Report, level: str) -> float | None:
    """The bias of the gate that keeps the state; None where it is zero as all others."""
    if level == "orthogonal_memory":
        return 1.0
    steps = max((len(each.gradient_log10) for each in report.through_time), default=0)
    return round(math.log(steps), 2) if level == "orthogonal_long" and steps else None
