"""What a user may choose about an analysis, and what an installation allows.

`AnalysisOptions` is the user's: it is part of the request, of the result's identity and of the published schema.
`Limits` is the operator's: small by default, because models come from strangers.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.errors import BadOptions


class Effort(StrEnum):
    """How much is measured."""

    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"


class LossName(StrEnum):
    """The training loss that pass A differentiates."""

    AUTOMATIC = "automatic"
    CROSS_ENTROPY = "cross_entropy"
    NLL = "nll"
    MSE = "mse"
    BCE = "bce"
    GRAPH = "graph"


class Device(StrEnum):
    """Where torch computes; `auto` takes CUDA when there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class OptimizerName(StrEnum):
    """The optimisers the training probe knows."""

    SGD = "sgd"
    ADAM = "adam"


Pattern = Annotated[str, Field(min_length=1, max_length=500)]


EXAMPLE: Final = 'for example {"effort": "quick"}'


class AnalysisOptions(BaseModel):
    """Everything a request may set; an unknown field is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    seed: int = Field(default=0, ge=0, lt=2**31)
    """Seed of synthetic data, re-initialisations and cotangents; the same seed gives the same report."""
    effort: Effort = Effort.STANDARD
    """quick: statistics of one batch. standard: also the training probe. thorough: more seeds, longer probes."""
    budget_seconds: float = Field(default=120.0, ge=1.0, le=86_400.0)
    """Seconds of processor time, all threads together, that the analysis may take: what is running then is stopped, and
    what was left out is listed in the report. Of a batch too large for it a part is measured, which is said."""
    device: Device = Device.CPU
    """Where torch computes: cpu, cuda, or auto (CUDA is written for but untested: no such machine here)."""
    loss: LossName = LossName.AUTOMATIC
    """Training loss; automatic chooses by the targets and the head, and says what it chose. cross_entropy and bce are
    those that bring their own softmax or sigmoid and take the output as it stands; nll of a softmax is read at its
    logits."""
    train: tuple[Pattern, ...] = ()
    """Initialisers (names or globs) to treat as trainable although their place in the graph says frozen."""
    freeze: tuple[Pattern, ...] = ()
    """Initialisers (names or globs) to leave out of training; wins over `train`."""
    batch_size: int = Field(default=32, ge=1, le=4096)
    """Samples to synthesise when no batch is sent and the model leaves the size open."""
    optimizer: OptimizerName | None = None
    """Your own optimiser: one more run of the probe; needs `learning_rate`."""
    learning_rate: float | None = Field(default=None, gt=0.0, le=100.0)
    """Your own learning rate, for `optimizer` (default sgd) and for the update ratio."""
    minibatch_size: int | None = Field(default=None, ge=1, le=65_536)
    """Samples in one step of your own training: the probe trains with as many (where they were sent), and
    BatchNormalization works with the statistics of so few. None: 32 or 64."""
    select: tuple[Pattern, ...] = ()
    """Rules to apply: ids, prefixes of ids (GH1) or names; none: all of them."""
    ignore: tuple[Pattern, ...] = ()
    """Rules not to apply; wins over `select`."""
    thresholds: Mapping[str, float] = Field(default_factory=dict, max_length=200)
    """Thresholds of rules that differ from the published ones, such as {"GH101.flow_decades": -3.5}."""
    required_horizon: int | None = Field(default=None, ge=1, le=1_000_000)
    """Time steps that the loss of a recurrent network has to reach back; less is an error."""
    clip_norm: float = Field(default=1.0, gt=0.0, le=1e9)
    """Global gradient norm at which the clipping variants clip."""
    clip_value: float = Field(default=0.01, gt=0.0, le=1e9)
    """Magnitude of a gradient element at which clipping by value clips."""
    weight_decay: float = Field(default=0.01, ge=0.0, le=1e3)
    """Factor of the weights that the decay variant adds to their gradients (L2)."""
    variants: tuple[Pattern, ...] = ()
    """Treatments to measure besides the default plan, such as "selu+lsuv"; with "only" among them, in its place."""
    without: tuple[Pattern, ...] = ()
    """Treatments to leave out, by token: variants that contain one are not in the plan."""

    def __hash__(self) -> int:
        """Options can be keys, although one of them is a mapping."""
        return hash(self.model_dump_json())


def parse_options(source: bytes | str | Mapping[str, Any]) -> AnalysisOptions:
    """Options from JSON or a mapping.

    Raises BadOptions naming the field, what was expected and what was given.
    """
    if isinstance(source, bytes | str):
        try:
            source = json.loads(source, object_pairs_hook=_once) if source else {}
        except RecursionError as error:
            raise BadOptions("options are not JSON: nested too deeply", where="options", hint=EXAMPLE) from error
        except ValueError as error:
            raise BadOptions(f"options are not JSON: {_plainly(error)}", where="options", hint=EXAMPLE) from error
    if not isinstance(source, Mapping):
        raise BadOptions("options must be a JSON object", where="options", hint=EXAMPLE)
    try:
        said = json.dumps(dict(source), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        detail, hint = "options have half a character (a lone surrogate)", "write text as UTF-8"
        raise BadOptions(detail, where="options", hint=hint) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise BadOptions(f"options cannot be said in JSON: {error}", where="options") from error
    try:
        return AnalysisOptions.model_validate_json(said)
    except ValidationError as error:
        raise _explain(error) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a name that it has twice nobody could say which is meant. Raises BadOptions."""
    named = dict(pairs)
    for name, _ in pairs if len(named) < len(pairs) else ():
        if name not in named:
            raise BadOptions(f"{name}: given twice", where=f"options.{name}", hint="say it once")
        del named[name]
    return named


def _plainly(error: ValueError) -> str:
    """Without Python's advice to whoever runs it."""
    return str(error).partition("; use sys.")[0]


def _explain(error: ValidationError) -> BadOptions:
    """One BadOptions for every complaint pydantic has."""
    complaints = error.errors(include_url=False, include_input=True)
    fields = [".".join(str(part) for part in complaint["loc"]) for complaint in complaints]
    known = ", ".join(AnalysisOptions.model_fields)
    detail = "; ".join(
        f"{field}: unknown option"
        if complaint["type"] == "extra_forbidden"
        else f"{field}: {complaint['msg'].lower()}, given {complaint['input']!r:.60}"
        for field, complaint in zip(fields, complaints, strict=True)
    )
    is_unknown = any(complaint["type"] == "extra_forbidden" for complaint in complaints)
    where = f"options.{fields[0]}" if fields else "options"
    return BadOptions(detail, where=where, hint=f"options are: {known}" if is_unknown else _left_out(fields[0]))


def _left_out(field: str) -> str:
    """What an option is for whoever does not say it; `field` may lie inside of it."""
    name = field.split(".", maxsplit=1)[0]
    default = getattr(AnalysisOptions(), name)
    return f"{name} may be left out" if default is None or default in ((), {}) else f"left out, {name} is {default}"


@dataclass(frozen=True, slots=True)
class Limits:
    """What an installation accepts, on by default; sizes in bytes."""

    model_bytes: int = 4 << 30
    batch_bytes: int = 1 << 30
    tensors: int = 200_000
    nodes: int = 100_000
    """After the model's own functions are expanded."""
    nodes_by_bodies: int = 40_000_000
    """Nodes times If, Loop and Scan bodies: onnx hands every body the types of all values around it."""
    attribute_elements: int = 1_000_000
    """Numbers and strings in the attributes of all nodes, but for tensors and for the tables of ai.onnx.ml."""
    nesting: int = 16
    """Depth of If, Loop and Scan bodies."""
    sparse_bytes: int = 256 << 20
    """What one sparse tensor may grow to when it is made dense, and all equal tensors that torch stored once."""
    unpacked_bytes: int = 2 << 30
    """What all weights of a few bits may grow to as floats; beyond it they stay packed and do not train."""
    batch_members: int = 64
    compression: float = 200.0
    """Largest expansion of a compressed batch member."""
