"""What a comparison reads of a report: little, and tolerantly, so that reports of other versions can be read.

Fields that are not listed here are ignored, whatever they hold; fields that an older version did not write have a
default. Without default are the four that make a report: schema version, verdict, layers and findings.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import AliasPath, Field, ValidationError
from pydantic_core import from_json

from analysis.errors import BadReport
from analysis.facts import Flow
from analysis.report import Evidence, Report, Severity, Verdict
from analysis.report.document import SCHEMA_VERSION, LeftOut
from analysis.report.parts import Part

MAJOR: Final = SCHEMA_VERSION.split(".", maxsplit=1)[0]
MOST_LAYERS: Final = 20_000  # of large networks there are a few thousand
MOST_FINDINGS: Final = 10_000
MOST_COMPLAINTS: Final = 3
HINT: Final = "gradient-health analyze --json writes a report"


class TensorExcerpt(Part):
    """A parameter of a layer."""

    initializer: str = ""
    shape: tuple[int, ...] = ()


class LayerExcerpt(Part):
    """A layer."""

    id: str
    name: str = ""
    op: str = ""
    parameters: Mapping[str, TensorExcerpt] = Field(default_factory=dict)


class FindingExcerpt(Part):
    """A finding."""

    rule: str
    name: str = ""
    severity: Severity
    confidence: str = ""
    layers: tuple[str, ...] = ()
    """Ids in its own report."""
    evidence: Mapping[str, Evidence] = Field(default_factory=dict)


class ModelExcerpt(Part):
    """The model."""

    name: str = ""
    sha256: str = ""


class BatchExcerpt(Part):
    """The sample batch."""

    sha256: str = ""


class EngineExcerpt(Part):
    """What computed the numbers."""

    version: str = ""
    torch: str = ""
    onnxruntime: str = ""
    device: str = ""
    precision: str = ""
    seed: int | None = None
    effort: str = ""


class LossExcerpt(Part):
    """The loss."""

    name: str = ""
    value: float | None = None
    chance: float | None = None


class StatsExcerpt(Part):
    """What a layer showed."""

    id: str
    leverage_log10: float | None = None
    update_ratio: float | None = None


class ProbeExcerpt(Part):
    """The short training."""

    best_loss_over_chance: float | None = None


class BaselineExcerpt(Part):
    """The unchanged model, which is the first variant."""

    layers: tuple[StatsExcerpt, ...] | None = None
    probe: ProbeExcerpt | None = None


class RemedyExcerpt(Part):
    """A proven treatment."""

    variant: str


class Excerpt(Part):
    """What is read of a report."""

    schema_version: str
    id: str = ""
    verdict: Verdict
    engine: EngineExcerpt = EngineExcerpt()
    options: Mapping[str, Any] | None = None
    model: ModelExcerpt = ModelExcerpt()
    batch: BatchExcerpt = BatchExcerpt()
    loss: LossExcerpt = LossExcerpt()
    gradient_flow: Flow = Flow()
    layers: tuple[LayerExcerpt, ...] = Field(max_length=MOST_LAYERS)
    baseline: BaselineExcerpt | None = Field(default=None, validation_alias=AliasPath("variants", 0))
    findings: tuple[FindingExcerpt, ...] = Field(max_length=MOST_FINDINGS)
    remedies: tuple[RemedyExcerpt, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, report: "Report | Excerpt") -> "Excerpt":
        """The excerpt of a report that is at hand; one that is an excerpt already is handed back."""
        return cls.model_validate(report, from_attributes=True)


def read_excerpt(content: bytes | str, source: str) -> Excerpt:
    """The excerpt of a report in its published form; `source` (a file) is named where it is none.

    Raises BadReport.
    """
    try:
        plain = from_json(content)
    except ValueError as error:
        raise BadReport(f"not JSON: {error}", where=source, hint=HINT) from error
    return parse_excerpt(plain, source, separator=": ")


def parse_excerpt(plain: object, source: str, *, separator: str = ".") -> Excerpt:
    """The same for JSON that has been parsed; the place is source, separator and field.

    Raises BadReport.
    """
    if not isinstance(plain, dict):
        raise BadReport("a report is a JSON object", where=source, hint=HINT)
    version = plain.get("schema_version")
    if isinstance(version, str) and version.split(".", maxsplit=1)[0] != MAJOR:
        detail = f"a report of schema version {version:.20}, expected {MAJOR}.x"
        raise BadReport(detail, where=f"{source}{separator}schema_version", hint="compare with a newer gradient-health")
    try:
        return Excerpt.model_validate(plain)
    except ValidationError as error:
        raise _explain(error, f"{source}{separator}") from error


def _explain(error: ValidationError, prefix: str) -> BadReport:
    """The first complaints of pydantic as one, in its order."""
    complaints = error.errors(include_url=False, include_input=True)
    told = [
        f"{_field(each['loc'])}: {each['msg'].lower()}"
        + ("" if each["type"] == "missing" else f", given {each['input']!r:.60}")
        for each in complaints[:MOST_COMPLAINTS]
    ]
    more = len(complaints) - len(told)
    detail = "; ".join(told) + (f"; and {more} more" if more else "")
    return BadReport(f"no report: {detail}", where=prefix + _field(complaints[0]["loc"]), hint=HINT)


def _field(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location))[:200]
