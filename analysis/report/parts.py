"""Parts of a report: findings with their evidence, remedies with their proof, advice."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict

from analysis.facts import Confidence

NON_FINITE: Final = ("NaN", "Infinity", "-Infinity")


class Severity(StrEnum):
    """How bad it is, if true."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """0 for the mildest."""
        return list(Severity).index(self)


class Verdict(StrEnum):
    """The answer in one word; healthy means that no gradient-flow problem was found, and no more."""

    HEALTHY = "healthy"
    AT_RISK = "at_risk"
    UNHEALTHY = "unhealthy"
    INCONCLUSIVE = "inconclusive"


class Part(BaseModel):
    """A frozen part of the report."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings", use_attribute_docstrings=True)


class Bound(StrEnum):
    """On which side of a threshold a healthy network lies."""

    LEAST = "least"
    MOST = "most"


class Evidence(Part):
    """A number and the threshold it crossed."""

    value: float
    threshold: float
    bound: Bound | None = None
    """Whether the threshold is the least or the most that a healthy network shows; left out where the value tells."""
    margin_decades: float | None = None
    """How far beyond the threshold, in powers of ten."""


class Finding(Part):
    """Something that is wrong, or worth knowing."""

    rule: str
    name: str
    severity: Severity
    confidence: Confidence
    layers: tuple[str, ...]
    message: str
    """Constant for each rule; what varies is in the evidence."""
    evidence: Mapping[str, Evidence]
    affects: tuple[str, ...]
    """sgd, adam, fp16."""
    caused_by: tuple[str, ...]
    """Rules whose findings explain this one."""
    remedies: tuple[str, ...]
    """Variants proven to help, best first."""


def keyed(findings: Iterable[Finding]) -> Iterator[tuple[str, Finding]]:
    """Each with a key that stays the same from run to run: its rule, and which one of that rule it is.

    Layers and numbers are no part of it: they may differ from one training to the next.
    """
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.rule] += 1
        yield finding.rule if seen[finding.rule] == 1 else f"{finding.rule}#{seen[finding.rule]}", finding


class RuledOut(Part):
    """An illness that was looked for and is not there, with the number that says so."""

    rule: str
    name: str
    evidence: Mapping[str, Evidence]


class Cause(Part):
    """The finding that the summary opens with."""

    rule: str
    layers: tuple[str, ...]
    """Those that the finding names."""


class Proof(Part):
    """Why a remedy is believed."""

    kind: str
    best_loss_over_chance: float
    """Best run of the best seed."""
    worst: float
    """Best run of the worst seed."""
    unchanged: float | None = None
    """The same for the unchanged model."""
    evaluated: float | None = None
    """The loss over chance in eval mode, where BatchNormalization works with running statistics: worst seed of the runs
    that ended lowest. Left out where there is none."""
    seeds: int
    learns: bool | None = None
    """Also learnt from minibatches, under 0.2 of chance in 200 steps; left out where that was not asked."""


class Decades(Part):
    """Flow before or after."""

    decades_rms: float | None = None
    decades_norm: float | None = None


class Remedy(Part):
    """A treatment that a short training has proven."""

    rank: int
    variant: str
    proof: Proof
    before: Decades
    after: Decades
    equivalent_to: tuple[str, ...]
    """Variants within the spread between seeds."""
    destructive: bool
    changes_function: bool
    training_only: bool
    cost: str
    recipe: str
    score: float | None = None
    """What the order follows among those that learn from minibatches, and among the others: the worst seed's loss, as
    a mean over optimisers, plus a little of what flow looks like before training; smaller is better."""
    snippet: str | None = None
    """Optimiser, learning rate and gradient step of the best training, as PyTorch code."""


class AdviceKind(StrEnum):
    """What is advised."""

    LEARNING_RATE = "learning_rate"
    ADAM = "adam"
    LARGER_LEARNING_RATE = "larger_learning_rate"
    WARM_UP = "warm_up"
    NORMALIZATION = "normalization"
    WEIGHT_DECAY = "weight_decay"
    STANDARD_INPUTS = "standard_inputs"
    LOSS = "loss"


class Advice(Part):
    """What leaves the network as it is, and what it does."""

    kind: AdviceKind
    words: str
    values: Mapping[str, float]
    """Losses are over chance; `unchanged` is the loss without it."""
    snippet: str | None = None
    """As PyTorch code."""
