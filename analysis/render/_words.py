"""Words of the page: what is missing, names in a cell, marked-up prose."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from analysis.diagnosis.contract import Rule
from analysis.facts import Layer
from analysis.report import Report

MOST_NAMES: Final = 8
"""In one cell."""
LONGEST_NAME: Final = 26
"""Letters."""
CODE: Final = Markup("<code>{}</code>")
EMPHASIS: Final = Markup("<em>{}</em>")
INLINE: Final = re.compile(r"`([^`]+)`|\*([^*\s][^*]*)\*")


# ------------------------------------------------------------------ what was not measured


@dataclass(frozen=True, slots=True)
class Missing:
    """Why cells are empty: (field, reason, whose)."""

    layers: tuple[tuple[str, str, tuple[str, ...]], ...]
    variants: tuple[tuple[str, str, tuple[str, ...]], ...]

    @classmethod
    def of(cls, report: Report) -> "Missing":
        baseline = report.variants[0]
        measured = [each for each in report.variants if each.measurement is not None]
        return cls(
            layers=grouped_reasons((each.id, each.absent) for each in baseline.layers or ()),
            variants=grouped_reasons((each.id, each.absent) for each in measured),
        )


def grouped_reasons(absent: Iterable[tuple[str, Mapping[str, str]]]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Those who lack the same for the same reason, together."""
    whose: dict[tuple[str, str], list[str]] = {}
    for name, reasons in absent:
        for item in reasons.items():
            whose.setdefault(item, []).append(name)
    return tuple((what, why, tuple(names)) for (what, why), names in whose.items())


# ------------------------------------------------------------------ words


def marked_up(text: str) -> Markup:
    """A paragraph of a rule's page: code in backticks, emphasis in asterisks."""
    parts, end = [], 0
    for match in INLINE.finditer(text):
        marked = CODE.format(match[1]) if match[1] else EMPHASIS.format(match[2])
        parts += [escape(text[end : match.start()]), marked]
        end = match.end()
    return Markup("").join([*parts, escape(text[end:])])


def first_names(names: Sequence[str]) -> tuple[Sequence[str], int]:
    """As many as fit a cell, and how many more there are."""
    return names[:MOST_NAMES], max(len(names) - MOST_NAMES, 0)


def short_name(layer: Layer) -> str:
    """What people call the layer: the last part of its path, without the operator."""
    parts = [part for part in layer.name.strip("/").split("/") if part]
    if len(parts) > 1 and parts[-1].startswith(layer.op):
        parts.pop()
    name = parts[-1] if parts else layer.id
    return f"{name} {layer.op}" if name.isdigit() else name


def shorter(text: str) -> str:
    """What fits beside a drawing: the end is left out."""
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def threshold_words(rule: Rule) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in rule.thresholds.items())
