"""The table of operators: (domain, name, since-version) -> one small torch function.

The signature of a function is its specification. Positional parameters are the ONNX inputs in order, keyword-only
parameters the attributes with the defaults of the standard, and the annotation says what the builder hands over:

    Tensor, Tensor | None    the value itself
    Ints, Ints | None        a shape, axes, pads: Python integers, read from the host
    Number, Number | None    a single number, read from the host
    DType                    an ONNX element type, as the torch dtype of this conversion's precision
    ElementType              the same with its ONNX name, for types torch does not have
    OutputElement            the element type of the node's first output; None where it is not known
    InputElements            those of its inputs, half precision included, which values come in float32 of
    NodeName                 what reports call the node: the same in every conversion
    Body                     a subgraph: call it with its inputs, get a tuple of its outputs
    OutputCount              how many outputs the node declares: of some operators that decides what they compute
    ReadCount                how many outputs up to the last that somebody reads: what need not be computed
    Mode                     whether the module trains, who watches its states

A function serves from its since-version up to the next one registered under the same name.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints

import torch

Tensor = torch.Tensor


class Kind(Enum):
    """What the builder hands over for a parameter."""

    VALUE = "value"
    INTS = "ints"
    NUMBER = "number"
    DTYPE = "dtype"
    ELEMENT = "element"
    OUTPUT_ELEMENT = "output element"
    INPUT_ELEMENTS = "input elements"
    NAME = "name"
    BODY = "body"
    OUTPUT_COUNT = "output count"
    READ_COUNT = "read count"
    MODE = "mode"


StateWatcher = Callable[[str, int, int, Sequence[Tensor]], None]
"""(node, chain, step in the order of time, states of the chain after that step)."""

BranchWatcher = Callable[[str, bool], None]
"""(node, whether its then_branch was taken)."""

Interrupt = Callable[[], bool]
"""Whether time has passed since it was asked last; raises to end the run."""


class RunMode:
    """How the module runs: one mutable object, shared by all steps of a program."""

    def __init__(self) -> None:
        """Start in eval mode, unwatched."""
        self.training = False
        self.watch_states: StateWatcher | None = None
        """Shown the states that recurrent operators and loops carry, step by step."""
        self.watch_branches: BranchWatcher | None = None
        """Told which way every If goes, each time."""
        self.interrupt: Interrupt | None = None
        """Asked after every operator, and between gradients where operators take long."""
        self.moving: AbstractSet[int] = frozenset()
        """The running statistics, by `id`, that move in training."""
        self.trips = 0
        """Of all Loops since this pass began."""


@dataclass(frozen=True, slots=True)
class Element:
    """An ONNX element type, and the torch dtype that holds its values."""

    name: str
    """As in TensorProto.DataType: `FLOAT8E4M3FN`."""
    dtype: torch.dtype


Ints = Annotated[tuple[int, ...], Kind.INTS]
Number = Annotated[float, Kind.NUMBER]
DType = Annotated[torch.dtype, Kind.DTYPE]
ElementType = Annotated[Element, Kind.ELEMENT]
OutputElement = Annotated[Element | None, Kind.OUTPUT_ELEMENT]
InputElements = Annotated[tuple[Element | None, ...], Kind.INPUT_ELEMENTS]
NodeName = Annotated[str, Kind.NAME]
Body = Annotated[Callable[..., tuple[Any, ...]], Kind.BODY]
OutputCount = Annotated[int, Kind.OUTPUT_COUNT]
ReadCount = Annotated[int, Kind.READ_COUNT]
Mode = Annotated[RunMode, Kind.MODE]

GIVEN: Final = frozenset(
    {Kind.MODE, Kind.OUTPUT_COUNT, Kind.READ_COUNT, Kind.OUTPUT_ELEMENT, Kind.INPUT_ELEMENTS, Kind.NAME}
)
"""Keyword-only parameters that are no attributes: the builder knows them."""
TYPED: Final = frozenset({Kind.OUTPUT_ELEMENT, Kind.INPUT_ELEMENTS})
"""Those that take types to tell."""

F = TypeVar("F", bound=Callable[..., Any])
NEWEST: Final = 1_000_000


@dataclass(frozen=True)
class Operator:
    """A registered function and the versions it serves."""

    domain: str
    name: str
    since: int
    function: Callable[..., Any]
    pure: bool
    """Same inputs, same outputs: may be computed once at conversion."""

    @cached_property
    def inputs(self) -> tuple[Kind, ...]:
        """Kinds of the positional parameters; a star parameter is not among them."""
        return tuple(kind for _, parameter, kind in self._parameters if parameter.kind in _POSITIONAL)

    @cached_property
    def many(self) -> bool:
        """Whether the function always returns a tuple of outputs."""
        return get_origin(get_type_hints(self.function)["return"]) is tuple

    @cached_property
    def attributes(self) -> dict[str, Kind]:
        """Kinds of the keyword-only parameters."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        return {name: kind for name, parameter, kind in self._parameters if parameter.kind is keyword}

    @cached_property
    def required(self) -> frozenset[str]:
        """Attributes without a default."""
        return frozenset(
            name
            for name, parameter, kind in self._parameters
            if name in self.attributes and parameter.default is inspect.Parameter.empty and kind not in GIVEN
        )

    @cached_property
    def _parameters(self) -> tuple[tuple[str, inspect.Parameter, Kind], ...]:
        hints = get_type_hints(self.function, include_extras=True)
        parameters = inspect.signature(self.function).parameters
        return tuple((name, parameter, _kind(hints[name])) for name, parameter in parameters.items())


_POSITIONAL: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})
_TABLE: Final[dict[tuple[str, str], list[Operator]]] = {}


def _kind(hint: object) -> Kind:
    if get_origin(hint) is Annotated:
        return next(mark for mark in get_args(hint) if isinstance(mark, Kind))
    marked = [_kind(part) for part in get_args(hint)]
    return next((kind for kind in marked if kind is not Kind.VALUE), Kind.VALUE)


def op(name: str, since: int = 1, *, domain: str = "", pure: bool = True) -> Callable[[F], F]:
    """Register a function for an operator from this version on; twice is an error at import."""

    def register(function: F) -> F:
        versions = _TABLE.setdefault((domain, name), [])
        if any(known.since == since for known in versions):
            raise ValueError(f"{domain}::{name} since {since} is registered twice")
        versions.append(Operator(domain, name, since, function, pure))
        versions.sort(key=lambda known: known.since)
        return function

    return register


def lookup(domain: str, name: str, version: int) -> Operator | None:
    """The newest registration that serves this version of the operator set."""
    standard = "" if domain == "ai.onnx" else domain
    serving = [known for known in _TABLE.get((standard, name), []) if known.since <= version]
    return serving[-1] if serving else None


def registered() -> Iterator[tuple[Operator, int]]:
    """Every registration with the version before which its successor takes over."""
    for versions in _TABLE.values():
        for known, successor in zip(versions, [*versions[1:], None], strict=True):
            yield known, successor.since if successor else NEWEST
