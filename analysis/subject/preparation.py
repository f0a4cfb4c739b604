"""A variant ready to be measured: the module, its layers and trunk, and the batch as tensors."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from analysis.batch import Batch, load_batch
from analysis.batch.synthesize import synthesize_batch
from analysis.convert import DifferentiableModel, convert
from analysis.convert.tensors import to_tensor
from analysis.errors import BadOptions, NodeFailed
from analysis.graph.attention import find_attention
from analysis.graph.closed import closed_head
from analysis.graph.heads import find_heads
from analysis.graph.sources import Sources, find_sources
from analysis.graph.training_state import looks_trained
from analysis.graph.trunk import Trunk, find_trunk, last_layer_output, mark_trunk
from analysis.model import CheckedModel
from analysis.model.weights import Array
from analysis.options import AnalysisOptions, Device, LossName
from analysis.subject.objective import Objective, choose_objective
from analysis.subject.subject import Subject


def prepare(model: CheckedModel, source: bytes | Path | Batch | None, options: AnalysisOptions) -> Subject:
    """The unchanged model on its batch: converted, its loss chosen, its trunk found.

    Without a batch one is made up; of one sample, where the graph runs with no more.

    Raises Unsupported (operators, no gradient), NothingToTrain, BadBatch (targets), BadOptions, NodeFailed.
    """
    batch = source if isinstance(source, Batch) else None if source is None else load_batch(source, model)
    converted = convert(model, train=options.train, freeze=options.freeze).to(_device(options.device))
    sources = find_sources(model)
    trainable = frozenset(converted.initializers)
    heads = find_heads(model, sources, trainable)
    names = [head.value for head in heads]
    if batch is None:
        batch, logits = _made_up(model, converted, names, options)
    else:
        logits = _evaluate(converted, batch, names)
    trained = looks_trained(model, trainable)
    objective = choose_objective(heads, logits, batch, options.loss, trained=trained, seed=options.seed)
    return _subject(model, sources, converted, objective, batch, trained=trained)


def variant(baseline: Subject, model: CheckedModel, options: AnalysisOptions) -> Subject:
    """An edited model on the same batch, with the same loss."""
    freeze = [name for name in baseline.converted.frozen if name in model.weights]
    converted = convert(model, train=options.train, freeze=freeze).to(baseline.device)
    sources = find_sources(model)
    return _subject(model, sources, converted, baseline.objective, baseline.batch, trained=baseline.trained)


def in_float64(subject: Subject) -> Subject:
    """The same with twice the digits."""
    converted = convert(
        subject.model, train=list(subject.converted.initializers), freeze=list(subject.converted.frozen),
        precision=torch.float64,
    ).to(subject.device)  # fmt: skip
    return replace(subject, converted=converted)


def _subject(
    model: CheckedModel, sources: Sources, converted: DifferentiableModel, objective: Objective, batch: Batch, *,
    trained: bool,
) -> Subject:  # fmt: skip
    trunk = find_trunk(model, sources, converted.layers, objective.head.value)
    end = _trunk_end(model, sources, converted, trunk, objective)
    if end is not None:
        trunk = find_trunk(model, sources, converted.layers, end)
    layers = mark_trunk(converted.layers, trunk)
    attention = find_attention(model, sources)
    return Subject(model, sources, converted, layers, trunk, objective, batch, trained, attention)


def _trunk_end(
    model: CheckedModel, sources: Sources, converted: DifferentiableModel, trunk: Trunk, objective: Objective
) -> str | None:
    """Where a trunk ends that cannot end at the logits: the graph computes its own loss, or its last layer is zero."""
    if objective.name is LossName.GRAPH:
        return last_layer_output(trunk, converted.layers)
    closed = closed_head(model.weights, model, sources, converted.layers, objective.head, objective.unit)
    return None if closed is None else closed.entering


def _made_up(
    model: CheckedModel, converted: DifferentiableModel, names: Sequence[str], options: AnalysisOptions
) -> tuple[Batch, dict[str, Array]]:
    """A synthetic batch the graph can run on, and the values of its heads."""
    batch = synthesize_batch(model, options.batch_size, options.seed)
    try:
        return batch, _evaluate(converted, batch, names)
    except NodeFailed:
        single = synthesize_batch(model, 1, options.seed)
        note = f"the graph does not run with {options.batch_size} samples, so one was made up"
        return replace(single, notes=(*single.notes, note)), _evaluate(converted, single, names)


def _evaluate(converted: DifferentiableModel, batch: Batch, names: Sequence[str]) -> dict[str, Array]:
    """Values of one forward pass in eval mode, as numpy."""
    seen: dict[str, Array] = {}

    def keep(name: str) -> Callable[[torch.Tensor], None]:
        def on_value(value: torch.Tensor) -> None:
            seen[name] = value.detach().cpu().float().numpy()

        return on_value

    device = next(iter(converted.parameters())).device
    inputs = [to_tensor(np.ascontiguousarray(array)).to(device) for array in batch.inputs.values()]
    with torch.no_grad():
        converted.eval().observe(inputs, {name: [keep(name)] for name in names})
    return seen


def _device(wanted: Device) -> torch.device:
    if wanted is Device.AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise BadOptions("there is no CUDA device here", where="options.device", hint="use cpu or auto")
    return torch.device(wanted.value)
