"""What to do about a batch that the graph does not run on: who sent one is told what it has, who sent none how to."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from analysis.batch import Batch
from analysis.convert.program import CHECK_INPUTS
from analysis.errors import MEMORY_RAN_OUT, InvalidModel, LimitExceeded, NodeFailed
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.subject import reference

FEWER: Final = 'ask for fewer samples with the options {"batch_size": 1}'


@contextmanager
def telling_of_batch(model: CheckedModel, batch: Batch | None) -> Iterator[None]:
    """Inside: refusals of a node, and of memory, get a way out that fits; `batch` is None where one is made up.

    What is already known of the cause, such as a Reshape that holds the batch size, stays.
    """
    try:
        yield
    except NodeFailed as error:
        if error.hint != CHECK_INPUTS:
            raise
        _refuse_contradiction(model, error)
        hint = _send(model.inputs) if batch is None else _look_at(batch)
        raise NodeFailed(error.detail, where=error.where, hint=hint) from error
    except LimitExceeded as error:
        if batch is not None or error.detail != MEMORY_RAN_OUT:
            raise
        raise LimitExceeded(error.detail, where=error.where, hint=FEWER) from error


def _refuse_contradiction(model: CheckedModel, error: NodeFailed) -> None:
    """Raise InvalidModel where no batch will do: the sizes of the graph's own tensors contradict each other."""
    reason = reference.contradiction(model)
    if reason:
        hint = "correct the sizes of this node's tensors where the model is made, and export it again"
        raise InvalidModel(f"onnxruntime does not load it either: {reason}", where=error.where, hint=hint) from error


def _send(inputs: Iterable[ValueSpec]) -> str:
    """The keys of a batch, with the shapes as the model declares them."""
    keys = ", ".join(f"{spec.name!r} {_shape(spec)} {spec.dtype}" for spec in inputs)
    return (
        f"the inputs were made up, and these sizes may not fit together: send a batch, an npz file with {keys} "
        "(gradient-health analyze model.onnx batch.npz, or curl -F batch=@batch.npz)"
    )


def _shape(spec: ValueSpec) -> str:
    return "of any shape" if spec.shape is None else f"[{', '.join(str(size or '?') for size in spec.shape)}]"


def _look_at(batch: Batch) -> str:
    sent = ", ".join(f"{name!r} {list(array.shape)} {array.dtype.name}" for name, array in batch.inputs.items())
    return f"the batch has {sent}: sizes that the model leaves open have to fit what this node expects"
