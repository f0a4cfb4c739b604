"""Comparison -> a summary for a terminal, 80 columns: regression or not, and what became of every finding."""

import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from analysis.comparison.document import (
    Change,
    Comparison,
    FindingChange,
    LayerChanges,
    LayerName,
    OldNew,
    RemedyChanges,
)
from analysis.comparison.excerpt import FindingExcerpt

WIDTH: Final = 80
MOST_LISTED: Final = 6
INDENT: Final = " " * 12
STAY: Final = "\N{NO-BREAK SPACE}"
"""Between words that belong on one line."""
SHOWN: Final = {
    "gradient_flow.decades_rms": "flow in decades, by RMS",
    "gradient_flow.decades_norm": "flow in decades, by norm",
    "gradient_flow.leverage_log10.least": "least leverage, log10",
    "gradient_flow.nonlinearity_coefficient": "nonlinearity coefficient",
    "loss.value": "loss",
    "probe.best_loss_over_chance": "loss over chance after a short training",
}
"""The numbers a reader looks at first; all of them are in the JSON."""


def render_comparison(comparison: Comparison) -> str:
    """The summary."""
    names = {layer.id: layer.name for layer in _new_layers(comparison.layers)}
    parts = [
        _head(comparison),
        [line for note in comparison.notes for line in _wrapped(f"note: {note}", "", "  ")],
        _findings(comparison.findings, names),
        _numbers(comparison.numbers),
        _layers(comparison.layers),
        _remedies(comparison.remedies),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def render_baseline(comparison: Comparison, source: str) -> str:
    """What a baseline accepts of a report, and what it does not."""
    counts = Counter(change.change for change in comparison.findings)
    known = sum(change.is_known for change in comparison.findings)
    lines = _wrapped(
        f"baseline {source}: {known} known {'finding' if known == 1 else 'findings'} accepted, "
        f"{counts[Change.GAINED]} new, {counts[Change.WORSENED]} worsened, {counts[Change.LOST]} gone",
        "",
        "  ",
    )
    fresh = [each for each in comparison.findings if each.change in {Change.GAINED, Change.WORSENED, Change.MOVED}]
    for change in fresh:
        lines += [_title(change), *_wrapped(change.why, INDENT, INDENT)]
    notes = (line for note in comparison.notes for line in _wrapped(f"note: {note}", "  ", "    "))
    return "\n".join([*lines, *notes]) + "\n"


def _head(comparison: Comparison) -> list[str]:
    old, new = comparison.old.model or "old", comparison.new.model or "new"
    models = f"{old}, same model" if comparison.same_model else f"{old} -> {new}"
    title = f"{_cut(models, WIDTH - 15)}: {'REGRESSION' if comparison.regression else 'no regression'}"
    _, _, words = comparison.summary.partition(": ")
    return [title, "=" * len(title), *_wrapped(words[:1].upper() + words[1:], "", "")]


def _findings(changes: Sequence[FindingChange], names: Mapping[str, str]) -> list[str]:
    told = [each for each in changes if each.change is not Change.UNCHANGED]
    same = sorted({each.rule for each in changes if each.change is Change.UNCHANGED})
    if not changes:
        return []
    lines = ["findings"]
    for change in told:
        lines += [_title(change), *_details(change, names)]
    return lines + (_wrapped(f"unchanged {', '.join(same)}", "  ", INDENT) if same else [])


def _title(change: FindingChange) -> str:
    finding = change.new or change.old
    severity = finding.severity.value if finding is not None else ""
    return _cut(f"  {change.change.value:<10}{severity:<8}{change.rule} {change.name}", WIDTH, end="…")


def _details(change: FindingChange, names: Mapping[str, str]) -> Iterator[str]:
    """Why, the evidence of what is there now, and the layers it had not named before."""
    yield from _wrapped(change.why, INDENT, INDENT)
    if change.new is not None and change.change in {Change.GAINED, Change.WORSENED}:
        yield from _wrapped(_evidence(change.new), INDENT, INDENT)
    if change.layers_gained and change.new is not None:
        listed = ", ".join(
            f"{layer}{STAY}{names.get(layer, '')}".strip(STAY) for layer in change.layers_gained[:MOST_LISTED]
        )
        more = len(change.layers_gained) - MOST_LISTED
        now = "" if change.change is Change.GAINED else "now "
        yield from _wrapped(f"{now}{listed}" + (f" and {more} more" if more > 0 else ""), INDENT, INDENT)


def _evidence(finding: FindingExcerpt) -> str:
    return ", ".join(
        f"{name} {each.value:.3g}{STAY}(limit{STAY}{each.threshold:g})" for name, each in finding.evidence.items()
    )


def _numbers(numbers: Mapping[str, OldNew]) -> list[str]:
    rows = [
        f"  {words:<50}{_number(numbers[name].old):>12}{_number(numbers[name].new):>12}"
        for name, words in SHOWN.items()
        if name in numbers
    ]
    return [f"{'numbers':<52}{'old':>12}{'new':>12}", *rows] if rows else []


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _layers(layers: LayerChanges) -> list[str]:
    signs = Counter(each.matched_by.value for each in layers.matched)
    by = ", ".join(f"{count} by {sign}" for sign, count in signs.items())
    resized = sum(each.resized for each in layers.matched)
    parts = [f"{len(layers.matched)} matched" + (f" ({by})" if by else "")]
    parts += [f"{count} {word}" for count, word in _counts(resized, layers) if count]
    return [
        *_wrapped(f"layers: {', '.join(parts)}", "", "  "),
        *_listed("+", [_called(layer) for layer in layers.gained]),
        *_listed("-", [_called(layer) for layer in layers.lost]),
    ]


def _counts(resized: int, layers: LayerChanges) -> list[tuple[int, str]]:
    return [(resized, "of another size"), (len(layers.gained), "gained"), (len(layers.lost), "lost")]


def _remedies(remedies: RemedyChanges) -> list[str]:
    if not remedies.gained and not remedies.lost:
        return []
    return ["proven remedies", *_listed("+", remedies.gained), *_listed("-", remedies.lost)]


def _listed(sign: str, items: Sequence[str]) -> list[str]:
    lines = [_cut(f"  {sign} {item}", WIDTH, end="…") for item in items[:MOST_LISTED]]
    more = len(items) - MOST_LISTED
    return [*lines, f"  {sign} and {more} more"] if more > 0 else lines


def _called(layer: LayerName) -> str:
    return f"{layer.id} {layer.name}".strip()


def _new_layers(layers: LayerChanges) -> Iterator[LayerName]:
    yield from (each.new for each in layers.matched)
    yield from layers.gained


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    lines = textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest)
    return [line.replace(STAY, " ") for line in lines]


def _cut(text: str, width: int, *, end: str = "") -> str:
    """Shortened in front, where names differ least, or at the end."""
    if len(text) <= width:
        return text
    return text[: width - 1] + end if end else "…" + text[-(width - 1) :]
