"""Words that facts are made of: kinds, states and outcomes; and the decorator that makes a fact."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def fact(kind: type[T]) -> type[T]:
    """Make a class a fact: frozen, with slots, every field by name."""
    return dataclass(frozen=True, slots=True, kw_only=True)(kind)


class Confidence(StrEnum):
    """How sure a statement is; independent of how bad it would be."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Effect(StrEnum):
    """What an edit preserves."""

    PRESERVES_OUTPUT = "preserves_output"
    CHANGES_FUNCTION = "changes_function"
    TRAINING_ONLY = "training_only"


class Status(StrEnum):
    """How far a variant got."""

    MEASURED = "measured"
    DERIVED = "derived"
    NOT_APPLICABLE = "not_applicable"
    LEFT_OUT = "left_out"


class ParityStatus(StrEnum):
    """Whether torch and onnxruntime compute the same function on this batch."""

    EQUAL = "equal"
    ILL_CONDITIONED = "ill_conditioned"
    UNAVAILABLE = "unavailable"


class Outcome(StrEnum):
    """How a short training run ended."""

    LEARNT = "learnt"
    SLOW = "slow"
    STALLED = "stalled"
    OSCILLATING = "oscillating"
    DIVERGED = "diverged"


class ProbeKind(StrEnum):
    """What a short training shows: minibatches out of many samples test learning, one batch tests memorising."""

    LEARNING = "learning"
    MEMORIZING = "memorizing"


class Zone(StrEnum):
    """What flow alone says; grey is for the probe."""

    GREEN = "green"
    GREY = "grey"
    RED = "red"
    UNKNOWN = "unknown"


class Provenance(StrEnum):
    """Where inputs or targets come from."""

    UPLOADED = "uploaded"
    SYNTHETIC = "synthetic"
    NOT_NEEDED = "not_needed"
