"""What a comparison of two reports says: typed once, frozen, published as JSON like the report itself."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from analysis.comparison.excerpt import FindingExcerpt
from analysis.comparison.match import MatchedBy
from analysis.report import Verdict
from analysis.report.parts import Part
from analysis.report.schema import published_schema

COMPARISON_VERSION: Final = "1.0"


class Trend(StrEnum):
    """Where something went; unknown: to or from inconclusive."""

    BETTER = "better"
    SAME = "same"
    WORSE = "worse"
    UNKNOWN = "unknown"


class Change(StrEnum):
    """What became of a finding, worst first."""

    GAINED = "gained"
    WORSENED = "worsened"
    MOVED = "moved"
    UNCHANGED = "unchanged"
    EASED = "eased"
    LOST = "lost"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Change).index(self)


class Side(Part):
    """One of the two reports."""

    id: str
    model: str
    model_sha256: str
    batch_sha256: str
    version: str
    effort: str
    seed: int | None = None
    zone: str
    """What flow alone says."""


class VerdictChange(Part):
    """The answers in one word."""

    old: Verdict
    new: Verdict
    trend: Trend


class Difference(Part):
    """What else differs between the two analyses; an option left out has its default."""

    what: str
    old: Any = None
    new: Any = None
    matters: bool
    """Findings can come and go by this alone."""


class OldNew(Part):
    """A number in both reports."""

    old: float | None = None
    new: float | None = None


class LayerName(Part):
    """A layer of one report."""

    id: str
    name: str


class LayerChange(Part):
    """A layer that is in both models."""

    old: LayerName
    new: LayerName
    matched_by: MatchedBy
    resized: bool
    """Its parameters have other shapes."""
    leverage_log10: OldNew | None = None
    update_ratio: OldNew | None = None


class LayerChanges(Part):
    """All layers, in the order of their reports."""

    matched: tuple[LayerChange, ...]
    gained: tuple[LayerName, ...]
    lost: tuple[LayerName, ...]


class FindingChange(Part):
    """A finding before and after."""

    change: Change
    rule: str
    name: str
    regression: bool
    why: str
    """Empty for what is gained, lost or unchanged without further reason."""
    decades: float | None = None
    """The largest step of its evidence, or of the number of layers it names; positive: worse."""
    layers_gained: tuple[str, ...]
    """Ids in the new report of layers that it did not name before."""
    layers_lost: tuple[str, ...]
    """Ids in the old report of layers that it names no longer."""
    old: FindingExcerpt | None = None
    new: FindingExcerpt | None = None

    @property
    def is_known(self) -> bool:
        """Whether it is in both reports and no worse than before."""
        return self.old is not None and self.new is not None and self.change is not Change.WORSENED


class RemedyChanges(Part):
    """Proven treatments, best first."""

    gained: tuple[str, ...]
    lost: tuple[str, ...]
    kept: tuple[str, ...]


class Comparison(Part):
    """The result of comparing two reports."""

    schema_version: str
    regression: bool
    fail_on: str
    """The gate that findings were held against."""
    reasons: tuple[str, ...]
    """Why it is a regression; empty where it is none."""
    summary: str
    verdict: VerdictChange
    same_model: bool
    comparable: bool
    """Whether the analyses were alike but for the model."""
    notes: tuple[str, ...]
    """What a reader has to know before believing the rest."""
    old: Side
    new: Side
    differences: tuple[Difference, ...]
    findings: tuple[FindingChange, ...]
    """Worst change first."""
    numbers: Mapping[str, OldNew]
    """By their place in the report."""
    remedies: RemedyChanges
    layers: LayerChanges

    def to_json(self, indent: int | None = None) -> bytes:
        """The published form."""
        return self.model_dump_json(exclude_none=True, indent=indent).encode()


def comparison_schema() -> dict[str, Any]:
    """JSON Schema of the comparison, as served at /v1/schema/comparison."""
    return published_schema(Comparison, "/v1/schema/comparison")
