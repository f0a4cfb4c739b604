"""The nodes of a graph, to be run one at a time on values that somebody else holds.

Nothing is fused, nothing that depends on an input is computed ahead, and shapes stay tensors, so that whoever steps
through may put another value in the place of any of them: `analysis.subject.trace` runs a graph on two numbers of
samples side by side.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from onnx import NodeProto

from analysis.convert.builder import Builder
from analysis.convert.definitions import Scope
from analysis.convert.program import Program, Step
from analysis.convert.registry import Interrupt, RunMode
from analysis.convert.scopes import type_in
from analysis.convert.tensors import TrainableWeights, to_tensor
from analysis.convert.unsupported import refuse_unsupported
from analysis.graph.survey import Survey
from analysis.model.nodes import captures, label
from analysis.model.weights import Array

Values = dict[str, Any]
"""Tensors, sequences and None by the name of the value."""


@dataclass(frozen=True, eq=False)
class Stepwise:
    """A graph whose nodes run one at a time."""

    nodes: tuple[NodeProto, ...]
    """Those that depend on an input or on a trainable weight, in order."""
    constants: Mapping[str, Any]
    """Weights and all that is made of constants alone."""
    precision: torch.dtype
    programs: Mapping[int, Program]
    slots: Mapping[str, int]
    template: tuple[Any, ...]

    def tensor(self, array: Array) -> torch.Tensor:
        """An input in the precision that is computed in."""
        return to_tensor(np.asarray(array, order="C"), self.precision)

    def run(self, node: NodeProto, values: Mapping[str, Any]) -> Values:
        """What a node writes. Raises NodeFailed, LimitExceeded."""
        slots = list(self.template)
        for name in self.reads(node):
            slots[self.slots[name]] = values[name]
        with torch.no_grad():
            self.programs[id(node)].run(slots)
        return {name: slots[self.slots[name]] for name in node.output if name and name in self.slots}

    def reads(self, node: NodeProto) -> Sequence[str]:
        """What a node reads, its bodies included."""
        return [name for name in (*node.input, *sorted(captures(node))) if name]


def step_through(read: Survey, precision: torch.dtype, interrupt: Interrupt | None = None) -> Stepwise:
    """Prepare the nodes of a graph; `interrupt` is asked after every operator.

    Raises as `analysis.convert.convert` does, and what interrupts.
    """
    model = read.model
    weights = TrainableWeights(model, read.roles.trainable, precision)
    scope = Scope({entry.domain: entry.version for entry in model.proto.opset_import}, partial(type_in, model))
    mode = RunMode()
    mode.interrupt = interrupt
    builder = Builder(model, weights, precision, mode, scope)
    refuse_unsupported(model, scope)
    drafts = builder.separate()
    template = tuple(builder.template)
    known = {name: template[slot] for name, slot in builder.slots.items() if template[slot] is not None}
    programs = {
        id(node): Program.of([Step(action, label(node), node.op_type, (), ())], mode) for node, action in drafts
    }
    return Stepwise(tuple(node for node, _ in drafts), known, precision, programs, dict(builder.slots), template)
