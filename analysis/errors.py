"""Everything the library can refuse, and why.

    AnalysisError
    ├── BadInput                 the request cannot be analysed as it stands
    │   ├── NotOnnx              these bytes are no ONNX model
    │   ├── InvalidModel         ONNX, but the specification forbids it
    │   ├── MissingExternalData  the weights lie in a file that is not there
    │   ├── BadBatch             names, shapes, dtypes or values of the sample batch
    │   ├── BadOptions           an option that does not exist or does not fit this model
    │   ├── NothingToTrain       no trainable weight reaches a differentiable output
    │   └── NodeFailed           a node of the graph cannot run on this batch
    ├── LimitExceeded            larger than this installation allows
    ├── Unsupported              a graph this library does not turn into torch
    │   ├── UnsupportedOp        not yet: an operator, version or attribute without a conversion
    │   ├── NeverSupported       never: strings, images and other types that carry no gradient
    │   └── NotDifferentiable    no path with a gradient from the weights to any output
    ├── ConversionMismatch       torch and onnxruntime disagree on the outputs
    └── BadReport                this is no report, so it cannot be compared

Anything else that escapes the library is a bug. Each error says what (`detail`), where (`where`: a node, tensor or
field) and the way out (`hint`); `code` is stable and machine-readable. No HTTP here: `service.problems` maps codes
to statuses.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MEMORY_RAN_OUT: Final = "memory ran out"


class AnalysisError(Exception):
    """The analysis was refused."""

    code = "analysis-error"

    def __init__(self, detail: str = "", *, where: str = "", hint: str = "") -> None:
        """Keep the three parts apart; the class docstring is the default detail."""
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.where = where
        self.hint = hint
        super().__init__(self.detail, where, hint)

    def __str__(self) -> str:
        """One line: where, what, and the way out."""
        return in_one_line(self.detail, self.where, self.hint)

    def __reduce__(self) -> tuple[object, ...]:
        """Cross process boundaries whole: a job child sends its error to the supervisor."""
        return (_rebuild, (type(self), self.detail, self.where, self.hint))


def in_one_line(detail: str, where: str, hint: str) -> str:
    """Where, what, and the way out."""
    place = f"{where}: " if where else ""
    way_out = f" ({hint})" if hint else ""
    return f"{place}{said_at(where, detail)}{way_out}"


def said_at(where: str, detail: str) -> str:
    """What is left to say beside `where`: `seed: too large` at options.seed would name the field twice."""
    field, colon, rest = detail.partition(": ")
    return rest if field and colon and (where == field or where.endswith((f".{field}", f" {field}"))) else detail


def _rebuild(kind: type[AnalysisError], detail: str, where: str, hint: str) -> AnalysisError:
    return kind(detail, where=where, hint=hint)


class BadInput(AnalysisError):
    """The request cannot be analysed as it stands."""

    code = "bad-input"


class NotOnnx(BadInput):
    """The file is not an ONNX model."""

    code = "not-onnx"


class InvalidModel(BadInput):
    """The model violates the ONNX specification."""

    code = "invalid-model"


class MissingExternalData(BadInput):
    """The model keeps weights in a file that was not sent with it."""

    code = "missing-external-data"


class BadBatch(BadInput):
    """The sample batch does not fit the model."""

    code = "bad-batch"


class BadOptions(BadInput):
    """The options do not fit."""

    code = "bad-options"


class NothingToTrain(BadInput):
    """The model has no trainable weight, so there are no gradients to measure."""

    code = "nothing-to-train"


class NodeFailed(BadInput):
    """A node of the graph cannot run on this batch."""

    code = "node-failed"
    path: tuple[int, ...] = ()
    """Which step of the program failed, and inside it which step of its body; not kept across processes."""


class LimitExceeded(AnalysisError):
    """The model or batch is larger than this installation allows."""

    code = "limit-exceeded"


class Unsupported(AnalysisError):
    """The graph cannot be turned into a differentiable program."""

    code = "unsupported"


class UnsupportedOp(Unsupported):
    """The model uses operators that have no conversion yet."""

    code = "unsupported-operator"


class NeverSupported(Unsupported):
    """The model uses operators that carry no gradient and never will."""

    code = "never-supported"


class NotDifferentiable(Unsupported):
    """No output of the model depends differentiably on a trainable weight."""

    code = "not-differentiable"


class ConversionMismatch(AnalysisError):
    """The torch translation and onnxruntime disagree; gradients of a wrong translation are worthless."""

    code = "conversion-mismatch"


class BadReport(AnalysisError):
    """This is not a report that can be compared."""

    code = "bad-report"


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether Python, or torch on a processor or a graphics card, got no more memory."""
    reason = str(error)
    return isinstance(error, MemoryError) or "can't allocate memory" in reason or "out of memory" in reason


@contextmanager
def refusing_lack_of_memory() -> Iterator[None]:
    """Inside: memory that ends, wherever it does (a backward pass, a statistic), is LimitExceeded and no bug."""
    try:
        yield
    except AnalysisError:
        raise
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        hint = 'send fewer samples; where none are sent, ask for fewer with the options {"batch_size": 1}'
        raise LimitExceeded(MEMORY_RAN_OUT, hint=hint) from error
