"""How some of the samples are taken from a batch: by cutting it, or, where a graph does not bear that, from the loss.

A graph that takes any number of samples, and makes of each the same whichever others are there, is given the samples
that are wanted. One whose number of samples is fixed, or that runs along the samples, is given the whole batch; the
loss is then the mean over the samples that are wanted, as if all others had weight zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

import numpy as np
import torch
from onnx import NodeProto

from analysis.batch import Batch
from analysis.batch.samples import select
from analysis.convert import DifferentiableModel
from analysis.convert.stepwise import step_through
from analysis.convert.tensors import to_tensor
from analysis.convert.translate import translate
from analysis.errors import AnalysisError
from analysis.graph.families import PASSING, walk_back
from analysis.graph.slots import RECURRENT
from analysis.graph.survey import Survey
from analysis.graph.training_state import normalizes_by_batch
from analysis.model import CheckedModel
from analysis.model.nodes import all_nodes, attributes_of, label
from analysis.model.opened import SampleAxis
from analysis.subject import reference
from analysis.subject.same_samples import COARSE, Sizes, compare, few_of, reordered
from analysis.subject.trace import ALONG, ATTENDING, Tracer, is_over_samples, standing_against

WEIGHING: Final = ATTENDING - {"Softmax"}
"""What weighs values by scores; Attention and MultiHeadAttention do so by themselves."""
SUMMING: Final = frozenset({"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceLogSumExp"})
"""What makes one of many."""
SHARING: Final = frozenset({"Softmax", "LogSoftmax"})
"""What makes parts of a whole."""
QUANTISING: Final = "DynamicQuantize"
"""How the names of operators begin that find one scale for the whole batch: a sample moves a little with the others."""
RESHAPE: Final = "Reshape"
"""One behind which samples in another order are no longer the same samples has shared them out among each other."""
SHAPES: Final = frozenset({"Shape", "Size"})
"""What tells of a value how large it is, and nothing else."""
STATE: Final = 5
"""Where recurrent operators take their initial state."""
STEPS_NAMES: Final = frozenset(
    {"seq", "seq_len", "seqlen", "seq_length", "sequence", "sequence_length", "time", "time_steps", "timesteps",
     "steps", "num_steps", "frames", "num_frames", "n_frames", "length", "len", "t"}
)  # fmt: skip
WHOLE: Final = "trainings use the whole batch in every step, the loss being that of some samples"


@dataclass(frozen=True, slots=True)
class Rows:
    """Where samples are found."""

    cut: bool
    """The graph may be given fewer samples."""
    logits: SampleAxis | None
    """Along which axis the logits count samples; None where they count none."""
    along: str = ""
    """The node that runs along the samples, attends along them, makes one of all, as if they were one sequence, or
    shares them out among each other."""


def samples_of(value: torch.Tensor, place: SampleAxis, samples: int, rows: Sequence[int]) -> torch.Tensor:
    """Some of the samples of a value that counts all of them along this axis; the value itself where it does not."""
    if value.shape[place.axis] != place.factor * samples:
        return value
    apart = value.unflatten(place.axis, (place.outer, samples, place.inner))
    chosen: torch.Tensor = apart.index_select(place.axis + 1, torch.tensor(list(rows), device=value.device))
    return chosen.flatten(place.axis, place.axis + 2)


def find_rows(
    read: Survey, converted: DifferentiableModel, batch: Batch, value: str, link_axis: int | None = None,
    whole: torch.Tensor | None = None,
) -> tuple[Rows, str]:  # fmt: skip
    """How samples are taken, judged by `value`, what the loss is read from; and why the batch cannot be cut, if so.

    `link_axis`: over which the softmax behind `value` is taken, which says what it makes of samples. `whole`: the value
    on all of the batch, in eval mode and float32, where that is known.

    In float32, and in float64 where that says no: a chaotic network makes other numbers of the same sample by rounding.
    Where the graph normalises by the batch, that is looked at first: the reason is found within a few nodes.
    """
    axes = [axis for axis in batch.axes.values() if axis is not None]
    if batch.size < 2 or not axes:
        return Rows(cut=True, logits=SampleAxis(0)), ""
    together = any(node.op_type.startswith(QUANTISING) for node in all_nodes(read.model.nodes))
    sizes = Sizes(batch.size, batch.size // 2, COARSE) if together else Sizes(batch.size, few_of(batch.size))
    program, stuck_at = converted, cache(partial(_stuck, read, batch, sizes))
    whole = _value(program, batch, range(batch.size), value, torch.float32) if whole is None else whole
    normalizes = normalizes_by_batch(read.model)
    known = normalizes and is_over_samples(stuck_at(torch.float32))
    for precision in () if known else (torch.float32, torch.float64):
        if precision is torch.float64:
            if normalizes and is_over_samples(stuck_at(precision)):
                break
            program = translate(read, precision).to(_device(converted))
            whole = _value(program, batch, range(batch.size), value, precision)
        try:
            place = compare(whole, _value(program, batch, sizes.rows, value, precision), sizes)
        except AnalysisError:
            place = False
            break
        if isinstance(place, SampleAxis):
            shared = link_axis is not None and link_axis % whole.ndim == place.axis
            return Rows(cut=True, logits=place, along=_link_behind(read.model, value) if shared else ""), ""
        if place or whole.ndim == 0 or _draws(read):
            return Rows(cut=True, logits=_first(whole, batch)), ""
    stuck = stuck_at(torch.float32 if known else torch.float64)
    if is_over_samples(stuck):
        return Rows(cut=True, logits=_first(whole, batch)), ""
    backwards = _value(program, batch, range(batch.size)[::-1], value, precision)
    counted = reordered(whole, backwards, batch.size)
    logits = counted or _first(whole, batch)
    if stuck is None:
        return Rows(cut=False, logits=logits), "the graph takes no fewer samples"
    along, why = _against(read.model, stuck, batch)
    meant = bool(_meant(read.model, stuck, batch))
    shares_out = counted is None and stuck.op_type == RESHAPE
    if logits is not None and not meant and (shares_out or _makes_one_of_all(read.model, stuck, value, batch)):
        along = label(stuck)
        why = f"node {along!r} ({RESHAPE}) shares samples out among each other (permute?)" if shares_out else why
    return Rows(cut=False, logits=logits, along=along), why


def _link_behind(model: CheckedModel, value: str) -> str:
    """The softmax that is taken of a value."""
    readers = [reader for reader, _ in model.consumers.get(value, ()) if reader.op_type in SHARING]
    return label(readers[0]) if readers else ""


def _makes_one_of_all(model: CheckedModel, node: NodeProto, value: str, batch: Batch) -> bool:
    """Whether a node shares one whole among the samples, or sums them up and nothing of a sample goes round it.

    x -- ReduceMean (samples) -- Expand -- y         one answer for all
    x -- Sub (ReduceMean (x) over samples) -- y      a normalisation written out
    """
    if node.op_type not in SUMMING:
        return node.op_type in SHARING
    reached, waiting = {*node.output}, [value]
    while waiting:
        name = waiting.pop()
        before = model.producers.get(name)
        if name in reached or (before is not None and before.op_type in SHAPES):
            continue
        reached.add(name)
        waiting += [] if before is None else before.input
    return not any(batch.axes[name] is not None for name in reached & batch.axes.keys())


def _against(model: CheckedModel, stuck: NodeProto, batch: Batch) -> tuple[str, str]:
    """The node if it takes samples for a sequence, and why it stands against cutting the batch."""
    meant = _meant(model, stuck, batch)
    if meant:
        return "", f"node {label(stuck)!r} ({stuck.op_type}) runs along axis 0 on purpose: {meant}"
    stored = _stored_states(model, stuck)
    if (
        stored == batch.size > 1
    ):  # as many sequences as samples; one that runs along these has as many as they have steps
        return "", f"node {label(stuck)!r} ({stuck.op_type}) starts from states of {stored} samples that the file holds"
    if stuck.op_type in ATTENDING and not _meets_values(model, stuck):
        return "", f"node {label(stuck)!r} ({stuck.op_type}) pairs samples with one another"
    return label(stuck) if stuck.op_type in ALONG else "", standing_against(stuck)


def _meant(model: CheckedModel, node: NodeProto, batch: Batch) -> str:
    """What says that the rows of the batch are the steps of one sequence; empty where nothing does.

    x [seq_len, 576] -- ... -- LSTM               the axis is called so
    h [1, 1, 128] ------------ LSTM (initial_h)   an input that is the state of one sequence
    """
    shapes = {spec.name: spec.shape or () for spec in model.inputs}
    named = [shapes[name][axis] for name, axis in batch.axes.items() if axis is not None and shapes.get(name)]
    steps = next((each for each in named if isinstance(each, str) and each.lower() in STEPS_NAMES), None)
    if steps is not None:
        return f"the axis is called {steps}"
    state = node.input[STATE] if node.op_type in RECURRENT and len(node.input) > STATE else ""
    sent = batch.inputs.get(walk_back(model, state, PASSING))
    one = sent is not None and sent.ndim == 3 and sent.shape[0 if attributes_of(node).get("layout") else 1] == 1
    return f"{state} is the state of one sequence" if one else ""


def _stored_states(model: CheckedModel, node: NodeProto) -> int:
    """Of how many samples a file holds the state that a recurrent node starts from; 0 where it holds none."""
    if node.op_type not in RECURRENT or len(node.input) <= STATE:
        return 0
    state = walk_back(model, node.input[STATE], PASSING)
    shape = model.weights[state].shape if state in model.weights else ()
    return int(shape[0 if attributes_of(node).get("layout") else 1]) if len(shape) == 3 else 0


def _meets_values(model: CheckedModel, node: NodeProto) -> bool:
    """Whether what a node makes of samples and samples weighs values again, as the scores of an attention do.

    q -- MatMul (k) -- Softmax -- MatMul (v)        an attention
    a -- MatMul (b) -- Mul (temperature) -- y       similarities of pairs, as in a contrastive loss: none
    """
    reached, waiting = set(node.output), list(node.output)
    while waiting:
        for reader, _ in model.consumers.get(waiting.pop(), ()):
            if reader.op_type in WEIGHING:
                return True
            fresh = [name for name in reader.output if name and name not in reached]
            reached.update(fresh)
            waiting.extend(fresh)
    return node.op_type in WEIGHING - {"MatMul", "Einsum"}


def _value(
    program: DifferentiableModel, batch: Batch, rows: Sequence[int], value: str, precision: torch.dtype
) -> torch.Tensor:
    """One value of the graph, in eval mode, of these samples, floats in this precision. Raises NodeFailed."""
    seen: list[torch.Tensor] = []
    device = _device(program)
    inputs, _ = select(batch, np.array(rows))
    tensors = [to_tensor(np.asarray(array, order="C"), precision).to(device) for array in inputs.values()]
    with torch.no_grad():
        program.eval().observe(tensors, {value: [seen.append]})
    found = seen[0].detach().cpu()
    return found.to(precision) if found.is_floating_point() else found


def _device(program: DifferentiableModel) -> torch.device:
    return next(iter(program.parameters())).device


def _draws(read: Survey) -> bool:
    """Whether the graph draws random numbers, which are others for another number of samples."""
    return any(node.op_type in reference.DRAWING for node in all_nodes(read.model.nodes))


def _first(logits: torch.Tensor, batch: Batch) -> SampleAxis | None:
    """The first axis, where it has an entry for every sample."""
    return SampleAxis(0) if logits.ndim and logits.shape[0] == batch.size else None


def _stuck(read: Survey, batch: Batch, sizes: Sizes, precision: torch.dtype) -> NodeProto | None:
    """The first node that does not make of some samples what it makes of all."""
    axes = {name: axis for name, axis in batch.axes.items() if axis is not None}
    try:
        return Tracer(step_through(read, precision), sizes, static=False).run(batch.inputs, axes).stuck
    except AnalysisError:
        return None
