"""The cells of the experiment and their ids: which treatments make a variant."""

from collections.abc import Iterable
from typing import Final

from analysis.errors import BadOptions
from analysis.facts import STEP_FACTORS, Factor
from analysis.interventions.shelf import BY_TOKEN
from analysis.interventions.treatment import Treatment
from analysis.options import AnalysisOptions

BASELINE: Final = "baseline"
ONLY: Final = "only"
Cell = tuple[Treatment, ...]
"""One treatment per factor that is not kept, in the order of the factors."""
_PLACES: Final = {factor: place for place, factor in enumerate(Factor)}


def asked_for(options: AnalysisOptions) -> list[Cell]:
    """The cells a user names. Raises BadOptions for a token, there or in `without`, or a combination that is none."""
    unknown = [token for token in options.without if token not in BY_TOKEN]
    if unknown:
        raise BadOptions(f"{unknown[0]!r} is no treatment", where="options.without", hint=_known())
    return [cell_of(name) for name in options.variants if name != ONLY]


def cell_of(name: str) -> Cell:
    """The cell of an id; raises BadOptions."""
    tokens = name.split("+")
    missing = [token for token in tokens if token not in BY_TOKEN]
    if missing:
        raise BadOptions(f"{missing[0]!r} is no treatment", where="options.variants", hint=_known())
    cell = tuple(sorted((BY_TOKEN[token] for token in tokens), key=_place))
    factors = [each.factor for each in cell]
    if len(set(factors)) < len(factors):
        twice = next(factor for factor in factors if factors.count(factor) > 1)
        raise BadOptions(f"{name!r} chooses {twice.value} twice", where="options.variants")
    return cell


def variant_id(cell: Iterable[Treatment]) -> str:
    """Tokens in the order of the factors, or `baseline`."""
    return "+".join(each.token for each in sorted(cell, key=_place)) or BASELINE


def plain_cell(cell: Cell) -> Cell:
    """The same network without its gradient step."""
    return tuple(each for each in cell if each.factor not in STEP_FACTORS)


def together(first: Cell, second: Cell) -> Cell:
    """Both; of a factor that both choose the first one's level."""
    chosen = {each.factor for each in first}
    return tuple(sorted((*first, *(each for each in second if each.factor not in chosen)), key=_place))


def _place(treatment: Treatment) -> int:
    return _PLACES[treatment.factor]


def _known() -> str:
    return f"treatments are {', '.join(BY_TOKEN)}"
