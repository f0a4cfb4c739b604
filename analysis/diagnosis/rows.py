"""A variant as the report lists it."""

from dataclasses import dataclass

from analysis.facts import Measurement, ModelFile, VariantInfo


@dataclass(frozen=True, slots=True)
class Row:
    """A variant as the report lists it."""

    info: VariantInfo
    measurement: Measurement | None
    model: ModelFile | None = None
