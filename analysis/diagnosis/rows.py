"""A variant as the report lists it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from analysis.facts import Measurement, ModelFile, VariantInfo


class Cell(Protocol):
    """A variant, and what was measured of it."""

    @property
    def info(self) -> VariantInfo:
        """What was done to the model."""

    @property
    def measurement(self) -> Measurement | None:
        """Nothing where the treatment does not apply."""


@dataclass(frozen=True, slots=True)
class Row:
    """A variant as the report lists it."""

    info: VariantInfo
    measurement: Measurement | None
    model: ModelFile | None = None


def rows_of(cells: Mapping[str, Cell], files: Mapping[str, ModelFile]) -> tuple[Row, ...]:
    """The rows of these variants, in their order, with the files of those that were written; both by variant id."""
    return tuple(Row(cell.info, cell.measurement, files.get(name)) for name, cell in cells.items())
