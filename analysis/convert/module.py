"""DifferentiableModel: the graph as a torch module."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from analysis.convert.builder import Builder
from analysis.convert.program import Program, Slots, Step, Watcher, is_composite
from analysis.convert.registry import BranchWatcher, Interrupt, StateWatcher
from analysis.convert.tensors import TrainableWeights, half_outputs, rounded_to, widened_to
from analysis.graph.training_state import with_running_statistics


class DifferentiableModel(nn.Module):
    """The graph: `forward(*inputs)` in graph-input order returns a tuple of outputs in graph order.

    A sequence is a list of tensors, an optional the value or None, on both sides. A floating-point input narrower than
    the graph declares is widened; a wider one is taken as it is (the module cast to float64, say).
    """

    def __init__(
        self,
        builder: "Builder",
        program: Program,
        weights: "TrainableWeights",
        frozen: Mapping[str, str],
        layers: Sequence[Any],
    ) -> None:
        """Take over what the builder made."""
        super().__init__()
        self._program = program
        self._mode = builder.mode
        self._input_slots = tuple(builder.slots[spec.name] for spec in builder.model.inputs)
        self._output_slots = tuple(builder.slots[spec.name] for spec in builder.model.outputs)
        self._widths = tuple(
            torch.float64 if spec.dtype == "float64" else builder.precision for spec in builder.model.inputs
        )
        halves = half_outputs(builder.model) if builder.precision is torch.float32 else {}
        self._rounded = tuple(halves.get(spec.name) for spec in builder.model.outputs)
        self._slots = dict(builder.slots)
        self._host = builder.template
        names = {id(parameter): name for name, parameter in weights.parameters.items()}
        self._parameter_slots = {slot: names[id(value)] for slot, value in enumerate(self._host) if id(value) in names}
        self._constants: dict[int, str] = {}
        self._names = {name: _attribute_name(name) for name in weights.parameters}
        for name, parameter in weights.parameters.items():
            self.register_parameter(self._names[name], parameter)
        for slot, value in enumerate(self._host):
            if isinstance(value, torch.Tensor) and slot not in self._parameter_slots:
                self._constants[slot] = f"constant:{slot}"
                self.register_buffer(self._constants[slot], value, persistent=False)
        self.layers = tuple(layers)
        """Layers that own trainable weights, in topological order."""
        self.frozen = dict(frozen)
        """Initialiser -> why it does not train."""
        self.input_names = tuple(spec.name for spec in builder.model.inputs)
        self.output_names = tuple(spec.name for spec in builder.model.outputs)
        statistics = (name for node in with_running_statistics(builder.model) for name in node.input[3:5])
        slots = dict.fromkeys(self._slots[name] for name in statistics if name in self._slots)
        self._statistics = tuple(slot for slot in slots if slot in self._constants)
        self._moves = False
        self._refresh()
        self.eval()

    @property
    def initializers(self) -> Mapping[str, nn.Parameter]:
        """Every trainable weight exactly once, by its ONNX name."""
        return self._initializers

    @property
    def steps(self) -> Sequence[Step]:
        """The nodes that run, in order."""
        return self._program.steps

    def forward(self, *inputs: Any) -> tuple[Any, ...]:
        """The graph's outputs."""
        slots = self._start(inputs)
        self._program.run(slots)
        return self._outputs(slots)

    def observe(self, inputs: Sequence[Any], watchers: Mapping[str, Sequence[Watcher]]) -> tuple[Any, ...]:
        """The graph's outputs; each watched tensor is shown to its watchers as soon as it exists.

        What a watcher returns, unless it is None, takes the value's place (not that of an input of the graph).
        """
        slots = self._start(inputs)
        by_slot = {self._slots[name]: found for name, found in watchers.items() if name in self._slots}
        for slot in self._input_slots:
            for watch in () if is_composite(slots[slot]) else by_slot.get(slot, ()):
                watch(slots[slot])
        self._program.run_watched(slots, by_slot)
        return self._outputs(slots)

    def train(self, mode: bool = True) -> "DifferentiableModel":  # noqa: FBT001, FBT002 - torch's signature
        """Batch statistics in BatchNormalization, or running ones; see `move_statistics` for what becomes of those."""
        self._mode.training = mode
        super().train(mode)
        return self

    @contextmanager
    def watching_states(self, watcher: StateWatcher) -> Iterator[None]:
        """Inside: every recurrent operator and loop shows its states, step by step."""
        self._mode.watch_states = watcher
        try:
            yield
        finally:
            self._mode.watch_states = None

    @contextmanager
    def watching_branches(self, watcher: BranchWatcher) -> Iterator[None]:
        """Inside: every If says which way it goes."""
        self._mode.watch_branches = watcher
        try:
            yield
        finally:
            self._mode.watch_branches = None

    @property
    def interrupt(self) -> Interrupt | None:
        """Asked after every operator, in bodies of loops too, and between gradients: what it raises ends the run."""
        return self._mode.interrupt

    @interrupt.setter
    def interrupt(self, interrupt: Interrupt | None) -> None:
        self._mode.interrupt = interrupt

    @contextmanager
    def interrupted_by(self, interrupt: Interrupt | None) -> Iterator[None]:
        """Inside: another one is asked, or nobody."""
        before, self._mode.interrupt = self._mode.interrupt, interrupt
        try:
            yield
        finally:
            self._mode.interrupt = before

    def move_statistics(self) -> "DifferentiableModel":
        """From now on the running statistics of BatchNormalization move in `.train()`, on memory of their own.

        By the momentum of the graph, towards mean and population variance of what comes in, as ONNX has it.
        """
        self._replace_statistics([self._buffer(slot).clone() for slot in self._statistics], moves=True)
        return self

    @contextmanager
    def moving_statistics(self) -> Iterator[None]:
        """Inside: running statistics move in `.train()`; afterwards they are what they were."""
        before, moved = [self._buffer(slot) for slot in self._statistics], self._moves
        self.move_statistics()
        try:
            yield
        finally:
            self._replace_statistics(before, moves=moved)

    def _buffer(self, slot: int) -> torch.Tensor:
        buffer = self._buffers[self._constants[slot]]
        assert buffer is not None
        return buffer

    def _replace_statistics(self, tensors: Sequence[torch.Tensor], *, moves: bool) -> None:
        for slot, tensor in zip(self._statistics, tensors, strict=True):
            self._buffers[self._constants[slot]] = tensor
        self._moves = moves
        self._refresh()

    def set_constant(self, name: str, value: torch.Tensor) -> None:
        """Overwrite a frozen floating-point initialiser, such as a running statistic."""
        self._buffers[self._constants[self._slots[name]]].copy_(value)  # type: ignore[union-attr]

    def _start(self, inputs: Sequence[Any]) -> Slots:
        if len(inputs) != len(self._input_slots):
            raise TypeError(f"the graph has {len(self._input_slots)} inputs, got {len(inputs)}")
        self._mode.trips = 0
        slots = self._template.copy()
        for slot, value, width in zip(self._input_slots, inputs, self._widths, strict=True):
            slots[slot] = widened_to(value, width)
        return slots

    def _outputs(self, slots: Slots) -> tuple[Any, ...]:
        return tuple(rounded_to(slots[slot], to) for slot, to in zip(self._output_slots, self._rounded, strict=True))

    def _parameter(self, name: str) -> nn.Parameter:
        parameter = self._parameters[self._names[name]]
        assert parameter is not None
        return parameter

    def _refresh(self) -> None:
        """Read the tensors from where torch keeps them, after it moved or cast them."""
        self._initializers = {name: self._parameter(name) for name in self._names}
        self._template: Slots = list(self._host)
        for slot, name in self._parameter_slots.items():
            self._template[slot] = self._initializers[name]
        for slot, name in self._constants.items():
            self._template[slot] = self._buffers[name]
        moving = self._statistics if self._moves else ()
        self._mode.moving = frozenset(id(self._template[slot]) for slot in moving)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "DifferentiableModel":  # noqa: FBT001, FBT002
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._refresh()
        return self


def _attribute_name(initializer: str) -> str:
    """A name torch accepts, still readable: dots are its path separator."""
    return "weight:" + initializer.replace("%", "%25").replace(".", "%2E")
