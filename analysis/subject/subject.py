"""Subject: the module, its layers and trunk, its loss, and the batch as tensors."""

import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch

from analysis.batch import Batch
from analysis.batch.samples import select
from analysis.convert import DifferentiableModel
from analysis.convert.program import Watcher
from analysis.convert.tensors import to_tensor
from analysis.errors import AnalysisError
from analysis.facts import Layer
from analysis.graph.attention import AttentionSite
from analysis.graph.sources import Sources
from analysis.graph.survey import Survey
from analysis.graph.trunk import Trunk
from analysis.model import CheckedModel
from analysis.model.nodes import all_nodes
from analysis.model.weights import Array
from analysis.subject.dropout import Dropping
from analysis.subject.objective import Objective
from analysis.subject.rows import Rows, samples_of

FEW_ENOUGH: Final = 3
"""Samples that are no more than those that tell of all."""
FINDING: Final = frozenset({"NonZero", "Unique", "Compress", "NonMaxSuppression", "Loop"})
"""What writes as much as it finds in the samples."""
FEWEST_PER_CHANNEL: Final = 32
"""Values per channel from which BatchNormalization may use the batch's own statistics."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What is measured, and on what."""

    survey: Survey
    converted: DifferentiableModel
    layers: tuple[Layer, ...]
    """Those of the survey, told whether they lie on the trunk."""
    trunk: Trunk
    objective: Objective
    batch: Batch
    trained: bool
    """The weights look trained."""
    rows: Rows
    """How some of the samples are taken."""
    dropping: Dropping | None = None
    """What Dropout does to a training step; None: it is off, as in measurement."""
    counted: int | None = None
    """Values per channel on all of the batch, where a pass has counted them on its way."""
    evaluated: tuple[Any, ...] | None = None
    """The outputs in eval mode, in float32, where a pass has computed them on its way and they are small."""

    @property
    def model(self) -> CheckedModel:
        """The graph, and its weights as they were before any draw."""
        return self.survey.model

    @property
    def sources(self) -> Sources:
        """Weight expressions of the graph and their uses."""
        return self.survey.sources

    @property
    def attention(self) -> tuple[AttentionSite, ...]:
        """Where the network attends."""
        return self.survey.attention

    @cached_property
    def batch_statistics(self) -> bool:
        """Whether BatchNormalization works with the statistics of this batch, as in training; no draw changes that."""
        fewest = self.values_per_channel() if self.counted is None else self.counted
        return fewest is not None and fewest >= FEWEST_PER_CHANNEL

    def values_per_channel(self, rows: Sequence[int] | None = None) -> int | None:
        """Of the BatchNormalization that sees fewest, on all samples or some; None without one."""
        names = {node.input[0] for node in self.model.nodes if node.op_type == "BatchNormalization"}
        shapes = self.shapes(names) if rows is None else self._observed_shapes(names, rows)
        return min((_count(shape) for shape in shapes.values()), default=None)

    def shapes(self, names: AbstractSet[str]) -> dict[str, tuple[int, ...]]:
        """Of these values on the whole batch, in eval mode; those that are not computed are left out.

        Where the graph may be given fewer samples, from what it makes of one of them and of two.
        """
        fixed = self.rows.cut and not any(node.op_type in FINDING for node in all_nodes(self.model.nodes))
        if fixed and self.batch.size > FEW_ENOUGH:
            with suppress(AnalysisError):
                one, two = (self._observed_shapes(names, rows) for rows in ([0], [0, 1]))
                found = {name: _of_samples(one[name], shape, self.batch.size) for name, shape in two.items()}
                known = {name: shape for name, shape in found.items() if shape is not None}
                if one.keys() == known.keys():
                    return known
        return self._observed_shapes(names, None)

    def _observed_shapes(self, names: AbstractSet[str], rows: Sequence[int] | None) -> dict[str, tuple[int, ...]]:
        """Seen in a pass on some of the samples."""
        shapes: dict[str, tuple[int, ...]] = {}

        def noting(name: str) -> Watcher:
            def note(value: torch.Tensor) -> None:
                shapes[name] = tuple(value.shape)

            return note

        if names:
            with torch.no_grad():
                self.converted.eval().observe(self.tensors(rows)[0], {name: [noting(name)] for name in names})
        return shapes

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(iter(self.converted.parameters())).device

    @property
    def precision(self) -> torch.dtype:
        """What takes the place of float32."""
        first = next(iter(self.converted.parameters())).dtype
        return first if first is torch.float64 else torch.float32

    def weights(self) -> dict[str, Array]:
        """All initialisers, the trainable ones with their present values."""
        present = {name: parameter.detach().cpu() for name, parameter in self.converted.initializers.items()}
        return {
            name: present[name].float().numpy() if name in present else array
            for name, array in self.model.weights.items()
        }

    def tensors(self, rows: Sequence[int] | None = None) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Inputs in graph order and targets, of all samples or some; inputs of all where the graph takes no fewer."""
        inputs, targets = dict(self.batch.inputs), self.objective.targets
        if rows is not None and self.cuts:
            inputs, _ = select(self.batch, np.asarray(rows))
        tensors = [self._tensor(array) for array in inputs.values()]
        if targets is None:
            return tensors, None
        return tensors, self._of(self._tensor(targets), rows, self.objective.axis_of_targets)

    def on(self, rows: Sequence[int]) -> "Subject":
        """The same network on these samples as if no others had been sent. It has to cut, and to have targets."""
        inputs, named = select(self.batch, np.asarray(rows))
        batch = replace(self.batch, inputs=inputs, targets=named, size=len(rows))
        targets = self.tensors(rows)[1]
        assert targets is not None
        return replace(
            self, batch=batch, objective=self.objective.on(targets.cpu().numpy()), counted=None, evaluated=None
        )

    def loss(
        self, inputs: Sequence[torch.Tensor], targets: torch.Tensor | None, rows: Sequence[int] | None = None
    ) -> torch.Tensor:
        """The objective's loss; `rows`: the samples these targets are of, where not all of the batch."""
        return self.objective.loss(self._outputs(inputs, rows, {}), targets)

    def training_outputs(self, inputs: Sequence[torch.Tensor], rows: Sequence[int] | None = None) -> torch.Tensor:
        """What the loss of a training step is computed from: with Dropout on where the subject drops."""
        return self._outputs(inputs, rows, {} if self.dropping is None else self.dropping.watchers)

    def _outputs(
        self, inputs: Sequence[torch.Tensor], rows: Sequence[int] | None, watchers: Mapping[str, Sequence[Watcher]]
    ) -> torch.Tensor:
        logits: list[torch.Tensor] = []
        name = self.objective.head.value
        self.converted.observe(inputs, {**watchers, name: [*watchers.get(name, ()), logits.append]})
        return logits[0] if self.cuts else self._of(logits[0], rows, lambda axis: axis)

    @property
    def cuts(self) -> bool:
        """Whether the graph is given the wanted samples alone."""
        return self.rows.cut and (self.rows.logits is not None or self.objective.targets is None)

    def _of(self, value: torch.Tensor, rows: Sequence[int] | None, moved: Callable[[int], int | None]) -> torch.Tensor:
        """Some samples of a value that counts them as the logits do, but for an axis that is missing."""
        place = self.rows.logits
        axis = None if place is None or rows is None else moved(place.axis)
        if place is None or axis is None or axis >= value.ndim:
            return value
        return samples_of(value, replace(place, axis=axis), self.batch.size, rows or ())

    def _tensor(self, array: Array) -> torch.Tensor:
        return to_tensor(np.asarray(array, order="C"), self.precision).to(self.device)


def _of_samples(one: tuple[int, ...], two: tuple[int, ...], samples: int) -> tuple[int, ...] | None:
    """The shape of a value of so many samples, from those of one and of two; None where these do not tell.

    one [1, 64, 7], two [2, 64, 7]     [N, 64, 7]
    one [64], two [64]                 [64]
    one [5], two [8]                   nobody knows
    """
    if len(one) != len(two) or any(more not in {size, 2 * size} for size, more in zip(one, two, strict=True)):
        return None
    return tuple(size if size == more else size * samples for size, more in zip(one, two, strict=True))


def _count(shape: Sequence[int]) -> int:
    """Values of a channel."""
    return math.prod(shape) // max(shape[1], 1)


def counting(model: CheckedModel, counts: list[int]) -> dict[str, list[Watcher]]:
    """What to watch, so that each BatchNormalization notes the values per channel that it sees."""

    def count(value: torch.Tensor) -> None:
        counts.append(_count(value.shape))

    return {node.input[0]: [count] for node in model.nodes if node.op_type == "BatchNormalization"}
