"""What we conclude: the report, its parts, and its published schema.

The report is at once HTTP response, HTML input and stored artefact; what was measured appears in it as the facts
themselves. Additive changes only inside a major `schema_version`. NaN and infinities are the strings "NaN",
"Infinity", "-Infinity"; what was not measured is left out and named in the sibling `absent`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from analysis.facts import (
    KEPT,
    Anatomy,
    AttentionStats,
    Confidence,
    DropoutTrial,
    Effect,
    EngineFacts,
    Flow,
    GradientStep,
    Layer,
    LayerStats,
    LossFacts,
    ModelFacts,
    ModelFile,
    NonFinite,
    NormalizationTrial,
    OutputFacts,
    OwnLoss,
    Parity,
    Probe,
    SampleGradients,
    Status,
    TargetFacts,
    TargetReading,
    TimeProfile,
)
from analysis.facts.kinds import fact
from analysis.report.parts import Advice, Cause, Decades, Finding, Part, Remedy, RuledOut, Verdict

SCHEMA_VERSION: Final = "1.0"
LAYERS: Final = TypeAdapter(tuple[LayerStats, ...], config=ConfigDict(ser_json_inf_nan="strings"))


class BatchInfo(Part):
    """The sample batch."""

    sha256: str
    size: int
    provenance: str
    targets: str
    notes: tuple[str, ...]


@fact
class Structure:
    """Choices that edit the graph."""

    input: str = KEPT
    activation: str = KEPT
    normalization: str = KEPT
    residual: str = KEPT
    attention: str = KEPT
    output: str = KEPT


@fact
class ParameterChoice:
    """Choices that redraw weights."""

    initialization: str = KEPT
    branch_ends: str = KEPT
    seed: int | None = None


class Overall(Part):
    """One variant as a whole."""

    loss: float | None = None
    gradient_flow: Decades | None = None
    logits_gradient_rms: float | None = None
    """What the activation gradients of the layers are relative to, in flow."""
    total_gradient_norm: float | None = None


class Variant(Part):
    """One cell of the experiment; of a variant that was not measured only id, status and reason are present."""

    id: str
    status: Status
    reason: str | None = None
    structure: Structure | None = None
    parameters: ParameterChoice | None = None
    gradient_step: GradientStep | None = None
    same_as: str | None = None
    effect: Effect | None = None
    replicates: int | None = None
    measurement: Overall | None = None
    layers: tuple[LayerStats, ...] | None = None
    added_layers: tuple[str, ...] = ()
    """Those of `layers` that the unchanged model does not have; all others are its own, in its order."""
    removed_layers: tuple[str, ...] = ()
    """Layers of the unchanged model, by its ids, that are not among `layers`."""
    probe: Probe | None = None
    model: ModelFile | None = None
    non_finite: NonFinite | None = None
    absent: Mapping[str, str]

    @model_serializer(mode="wrap")
    def _keep_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Nulls that say something: no clipping, no seed, no twin, no probe, no file."""
        fields: dict[str, Any] = handler(self)
        if self.structure is not None:
            for name in ("same_as", "probe", "model"):
                fields.setdefault(name, None)
            fields["parameters"].setdefault("seed", None)
            fields["gradient_step"].setdefault("clip", None)
        return fields

    def json_pieces(self) -> Iterator[bytes]:
        """The published form, cut in pieces: see Report."""
        rest = self.model_dump_json(exclude_none=True, exclude={"layers"}).encode()
        if self.layers is None:
            yield rest
        else:
            yield from (rest[:-1], b',"layers":', LAYERS.dump_json(self.layers, exclude_none=True), b"}")


class LeftOut(Part):
    """What was not done, and why."""

    what: str
    why: str


class Report(Part):
    """The result of an analysis."""

    schema_version: str
    id: str
    """Follows from model, batch, options and version: the same question has the same answer and the same id. A service
    puts the id of its analysis there."""
    verdict: Verdict
    summary: str
    engine: EngineFacts
    options: Mapping[str, Any] | None = None
    """What was chosen otherwise than by default; not told by versions before this field."""
    model: ModelFacts
    batch: BatchInfo
    confidence_cap: Confidence = Confidence.HIGH
    """Nothing here is said with more, as `batch.notes` explain: on a made-up batch, for example, medium."""
    parity: Parity | None = None
    loss: LossFacts
    outputs: OutputFacts | None = None
    """How the output was read, and what it can reach."""
    targets: TargetFacts | None = None
    """Of targets that were sent."""
    gradient_flow: Flow
    anatomy: Anatomy
    attention: tuple[AttentionStats, ...]
    through_time: tuple[TimeProfile, ...]
    sample_gradients: SampleGradients | None = None
    unfolded: Probe | None = None
    """The network with BatchNormalization put back, where an exporter folded it and the graph does not learn."""
    own_loss: OwnLoss | None = None
    """Where the graph ends in its own loss: trainings by it."""
    dropout: DropoutTrial | None = None
    """A training with the graph's Dropout on, where it has any and some run learnt without."""
    normalization: NormalizationTrial | None = None
    """A training with BatchNormalization as in the user's own, where that may be what keeps it from learning."""
    target_reading: TargetReading | None = None
    absent: Mapping[str, str]
    """Of the unchanged model: what was not measured, and why."""
    layers: tuple[Layer, ...]
    variants: tuple[Variant, ...]
    factor_effects: Mapping[str, Decades]
    """How many decades a level of a factor moves flow, on average over what it is combined with."""
    factor_interactions: Mapping[str, Decades] = Field(default_factory=dict)
    """How many decades two levels together move flow beyond the sum of what each does alone."""
    findings: tuple[Finding, ...]
    cause: Cause | None = None
    """The headline as data: the finding that the summary opens with; null where nothing accuses."""
    ruled_out: tuple[RuledOut, ...] = ()
    """Where nothing explains that the network does not learn: what was looked for and is not there."""
    advice: tuple[Advice, ...] = ()
    """What to try before the network is changed."""
    remedies: tuple[Remedy, ...]
    left_out: tuple[LeftOut, ...]
    timings_seconds: Mapping[str, float]

    @model_serializer(mode="wrap")
    def _keep_null(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A null that says something: no cause."""
        fields: dict[str, Any] = handler(self)
        fields.setdefault("cause", None)
        return fields

    def __repr__(self) -> str:
        """Short, whatever the number of variants."""
        return f"<Report {self.id} of {self.model.name}: {self.verdict.value}>"

    def to_json(self, indent: int | None = None) -> bytes:
        """The published form.

        Nearly all of it are the layers of variants. The serialisers that keep nulls would turn them into dictionaries
        first, which takes ten times as long as writing them: they are written apart, where nobody wants indentation.
        """
        if indent is not None:
            return self.model_dump_json(exclude_none=True, indent=indent).encode()
        pieces = [self.model_dump_json(exclude_none=True, exclude={"variants"}).encode()[:-1], b',"variants":[']
        for place, variant in enumerate(self.variants):
            pieces += [b"," if place else b"", *variant.json_pieces()]
        return b"".join([*pieces, b"]}"])

    @classmethod
    def from_json(cls, content: bytes | str) -> "Report":
        """Read the published form."""
        return cls.model_validate_json(content)
