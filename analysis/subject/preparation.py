"""A variant ready to be measured: the module, its layers and trunk, and the batch as tensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
from onnx import NodeProto

from analysis.batch import Batch, load_batch
from analysis.clock import OutOfTime
from analysis.convert import DifferentiableModel
from analysis.convert.program import Watcher
from analysis.convert.registry import Interrupt
from analysis.convert.tensors import to_tensor
from analysis.convert.translate import read_graph, translate
from analysis.errors import BadBatch, BadOptions
from analysis.graph.closed import closed_head
from analysis.graph.heads import Head, find_heads
from analysis.graph.ranges import limits_of
from analysis.graph.survey import Survey
from analysis.graph.training_state import looks_trained
from analysis.graph.trunk import Trunk, find_trunk, last_layer_output, mark_trunk
from analysis.model import CheckedModel
from analysis.model.weights import Array
from analysis.options import AnalysisOptions, Device, LossName
from analysis.subject.branches import take_branches, told
from analysis.subject.objective import Objective, choose_objective, with_spread
from analysis.subject.opening import Opening, open_samples
from analysis.subject.refusal import telling_of_batch
from analysis.subject.rows import WHOLE, Rows, find_rows
from analysis.subject.sizing import fitting, too_slow, within_budget
from analysis.subject.subject import Subject, counting
from analysis.synthesis.synthesize import synthesize_batch

MOST_KEPT: Final = 1 << 20
"""Elements of outputs that are kept for the comparison with onnxruntime; more are computed again."""
NO_WATCHERS: Final[Mapping[str, Sequence[Watcher]]] = MappingProxyType({})


def prepare(
    model: CheckedModel,
    source: bytes | Path | Batch | None,
    options: AnalysisOptions,
    interrupt: Interrupt | None = None,
) -> Subject:
    """The unchanged model on its batch: converted, its loss chosen, its trunk found.

    A sample axis that the export fixed is opened, where that can be proven. Without a batch one is made up that the
    graph runs on. Of a batch that is too large for budget or memory a part is taken. `interrupt`: what ends the passes
    of this stage, see `Clock.look`.

    Raises Unsupported (operators, no gradient), NothingToTrain, BadBatch (targets), BadOptions, NodeFailed.
    """
    opening = open_samples(model, options.seed, interrupt, options.budget_seconds)
    model = opening.model
    batch = source if isinstance(source, Batch) else None if source is None else load_batch(source, model)
    read, converted, heads = _converted(model, options)

    def fit(batch: Batch) -> Batch:
        return fitting(batch, model, converted, options)

    with converted.interrupted_by(interrupt), telling_of_batch(model, batch):
        batch = _made_up(model, converted, options, fit) if batch is None else fit(batch)
        settled = _settled(model, converted, batch, options)
    if settled is not model:
        batch = replace(batch, notes=(*batch.notes, *told(model, settled)))
        model = settled
        read, converted, heads = _converted(model, options)
    trainable, names = frozenset(converted.initializers), [head.value for head in heads]
    with converted.interrupted_by(interrupt), telling_of_batch(model, batch):
        counts: list[int] = []
        evaluate = partial(_evaluate, converted, batch, names, counting(model, counts))
        logits, outputs = within_budget(evaluate, options)
    trained = looks_trained(model, trainable)
    try:
        objective = choose_objective(
            heads, logits, batch, options.loss, trained=trained, seed=options.seed, takes_logits=is_from_torch(model),
            limits=lambda value: limits_of(model, value, trainable),
        )  # fmt: skip
    except BadBatch as error:
        raise _explained(error, find_rows(read, converted, batch, names[0])[1]) from error
    head = objective.head
    whole = torch.from_numpy(logits[head.value]) if head.value in logits else None
    rows, against = find_rows(read, converted, batch, head.value, head.axis, whole)
    batch = replace(batch, notes=(*batch.notes, *_said(opening, rows, against)))
    subject = _subject(read, converted, objective, batch, rows, trained=trained)
    small = sum(each.numel() for each in outputs if isinstance(each, torch.Tensor)) <= MOST_KEPT
    return replace(subject, counted=min(counts, default=None), evaluated=outputs if small else None)


def _converted(model: CheckedModel, options: AnalysisOptions) -> tuple[Survey, DifferentiableModel, Sequence[Head]]:
    """The graph read, its program where it was asked for, and its heads. Raises as `prepare` does."""
    read = read_graph(model, train=options.train, freeze=options.freeze)
    converted = translate(read).to(_device(options.device))
    return read, converted, find_heads(model, read.sources, frozenset(converted.initializers))


def variant(baseline: Subject, model: CheckedModel, options: AnalysisOptions) -> Subject:
    """An edited model on the same batch, with the same loss."""
    freeze = [name for name in baseline.converted.frozen if name in model.weights]
    read = read_graph(model, train=options.train, freeze=freeze)
    converted = translate(read).to(baseline.device)
    converted.interrupt = baseline.converted.interrupt
    objective = _as_written(baseline, model, converted)
    rows = baseline.rows
    if rows.along:  # which an edit may have mended
        rows, _ = find_rows(read, converted, baseline.batch, objective.head.value, objective.head.axis)
    return _subject(read, converted, objective, baseline.batch, rows, trained=baseline.trained)


def _as_written(baseline: Subject, model: CheckedModel, converted: DifferentiableModel) -> Objective:
    """The loss of the unchanged model, in the unit of edited outputs.

    They are of another one where another operator writes them, or reads the inputs: prices that are standardised no
    longer make outputs of thousands.
    """
    name = baseline.objective.head.value
    if baseline.objective.name is not LossName.MSE or _ends(baseline.model, name) == _ends(model, name):
        return baseline.objective
    return with_spread(baseline.objective, _evaluate(converted, baseline.batch, [name])[0][name])


def _ends(model: CheckedModel, output: str) -> list[NodeProto | None]:
    """Who writes the output and who reads the inputs."""
    readers = [use.node for spec in model.inputs for use in model.consumers.get(spec.name, ())]
    return [model.producers.get(output), *readers]


def is_from_torch(model: CheckedModel) -> bool:
    """Whether PyTorch's exporter wrote the graph."""
    return model.proto.producer_name == "pytorch"


def in_float64(subject: Subject) -> Subject:
    """The same with twice the digits."""
    converted = translate(subject.survey, torch.float64).to(subject.device)
    converted.interrupt = subject.converted.interrupt
    return replace(subject, converted=converted, evaluated=None)


def _said(opening: Opening, rows: Rows, against: str) -> list[str]:
    """What became of the sample axis, in words."""
    against = opening.refused or against
    notes = [opening.done, against if rows.cut or not against else f"{against}; {WHOLE}"]
    return [note for note in notes if note]


def _explained(error: BadBatch, against: str) -> BadBatch:
    """Targets that do not fit, with what is known of the axis of the samples."""
    return BadBatch(error.detail, where=error.where, hint=against or error.hint)


def _subject(
    read: Survey, converted: DifferentiableModel, objective: Objective, batch: Batch, rows: Rows, *, trained: bool
) -> Subject:
    trunk = find_trunk(read.model, read.sources, read.layers, objective.head.value)
    end = _trunk_end(read, trunk, objective)
    if end is not None:
        trunk = find_trunk(read.model, read.sources, read.layers, end)
    return Subject(read, converted, mark_trunk(read.layers, trunk), trunk, objective, batch, trained, rows)


def _trunk_end(read: Survey, trunk: Trunk, objective: Objective) -> str | None:
    """Where a trunk ends that cannot end at the logits: the graph computes its own loss, or its last layer is zero."""
    if objective.name is LossName.GRAPH:
        return last_layer_output(trunk, read.layers)
    closed = closed_head(read.model.weights, read.model, read.sources, read.layers, objective.head, objective.unit)
    return None if closed is None else closed.entering


def _made_up(
    model: CheckedModel, converted: DifferentiableModel, options: AnalysisOptions, fit: Callable[[Batch], Batch]
) -> Batch:
    """A batch that the graph runs on. Raises BadOptions where finding one takes all of the budget."""
    try:
        return synthesize_batch(model, converted, options.batch_size, options.seed, fit)
    except OutOfTime as error:
        raise too_slow(options, options.budget_seconds) from error


def _settled(
    model: CheckedModel, converted: DifferentiableModel, batch: Batch, options: AnalysisOptions
) -> CheckedModel:
    """With the branches that are taken whatever the data are. Raises BadOptions where finding them takes too long."""
    try:
        return take_branches(model, converted, batch)
    except OutOfTime as error:
        raise too_slow(options, options.budget_seconds) from error


def _evaluate(
    converted: DifferentiableModel, batch: Batch, names: Sequence[str],
    watchers: Mapping[str, Sequence[Watcher]] = NO_WATCHERS,
) -> tuple[dict[str, Array], tuple[Any, ...]]:  # fmt: skip
    """Values of one forward pass in eval mode, as numpy, and its outputs; others are shown to their watchers."""
    seen: dict[str, Array] = {}

    def keep(name: str) -> Callable[[torch.Tensor], None]:
        def on_value(value: torch.Tensor) -> None:
            seen[name] = value.detach().cpu().float().numpy()

        return on_value

    device = next(iter(converted.parameters())).device
    inputs = [to_tensor(np.asarray(array, order="C")).to(device) for array in batch.inputs.values()]
    keeping = {name: [*watchers.get(name, ()), keep(name)] for name in names}
    with torch.no_grad():
        outputs = converted.eval().observe(inputs, {**watchers, **keeping})
    return seen, outputs


def _device(wanted: Device) -> torch.device:
    if wanted is Device.AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise BadOptions("there is no CUDA device here", where="options.device", hint="use cpu or auto")
    return torch.device(wanted.value)
