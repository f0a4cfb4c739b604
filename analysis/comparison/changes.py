"""What became of each finding between two reports: gained, lost, worsened, eased, moved or unchanged.

A finding is the same one if its rule is the same and its layers are, once the layers of both models are matched; of
one rule the findings that share no layer are paired as well: the illness has moved. Of a pair,

    worsened   the severity rose; or, at the same severity, some evidence went further beyond its threshold, or the
               finding names more layers (in number and in share of the network: a deeper one is not sicker), by more
               than the tolerance (a factor of two)
    eased      the opposite, and nothing worsened
    moved      neither, but it names layers that it did not name before
    unchanged  none of these
"""

import math
from collections import defaultdict, deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

from analysis.comparison.document import Change, FindingChange
from analysis.comparison.excerpt import Excerpt, FindingExcerpt
from analysis.report.gate import Gate

TOLERANCE_DECADES: Final = math.log10(2)  # another seed moves margins by some .06, and 1 layer may become 2
ROUNDING: Final = 1e-9
EXTENT: Final = "the number of layers"


def finding_changes(
    old: Excerpt, new: Excerpt, layers: Mapping[str, str], gate: Gate, tolerance_decades: float = TOLERANCE_DECADES
) -> tuple[FindingChange, ...]:
    """All findings of both reports, worst change first; `layers`: which layer of the old one is which of the new."""
    pairs = _paired(old.findings, new.findings, layers)
    changes = [_change(pair, layers, (old, new), gate, tolerance_decades) for pair in pairs]
    return tuple(sorted(changes, key=lambda each: (each.change.rank, -_severity(each), each.rule)))


def _severity(change: FindingChange) -> int:
    finding = change.new or change.old
    return finding.severity.rank if finding is not None else 0


# ------------------------------------------------------------------ which finding is which


Pair = tuple[FindingExcerpt | None, FindingExcerpt | None]


def _paired(old: Sequence[FindingExcerpt], new: Sequence[FindingExcerpt], layers: Mapping[str, str]) -> Iterator[Pair]:
    """Each finding once: with that of its rule on the same layers, then one that shares a layer, then any other."""
    before, after = _by_rule(old), _by_rule(new)
    for rule in before | after:
        yield from _pairs_of_one_rule(before.get(rule, []), after.get(rule, []), layers)


def _by_rule(findings: Sequence[FindingExcerpt]) -> dict[str, list[FindingExcerpt]]:
    grouped: dict[str, list[FindingExcerpt]] = {}
    for finding in findings:
        grouped.setdefault(finding.rule, []).append(finding)
    return grouped


def _pairs_of_one_rule(
    old: Sequence[FindingExcerpt], new: Sequence[FindingExcerpt], layers: Mapping[str, str]
) -> Iterator[Pair]:
    partners: dict[int, int] = {}
    taken: set[int] = set()
    for signs in (_all_layers, _each_layer):
        index: dict[Hashable, deque[int]] = defaultdict(deque)
        for j, finding in enumerate(new):
            for sign in signs(finding.layers):
                index[sign].append(j)
        for i, finding in enumerate(old):
            wanted = [] if i in partners else signs(_translated(finding, layers))
            partner = _claim(wanted, index, taken)
            if partner is not None:
                partners[i] = partner
    yield from ((old[i], new[j]) for i, j in partners.items())
    left_old = [finding for i, finding in enumerate(old) if i not in partners]
    left_new = [finding for j, finding in enumerate(new) if j not in taken]
    yield from zip_longest(left_old, left_new)


def _all_layers(layers: Sequence[str]) -> Sequence[Hashable]:
    return [frozenset(layers)]


def _each_layer(layers: Sequence[str]) -> Sequence[Hashable]:
    return layers


def _claim(wanted: Iterable[Hashable], index: Mapping[Hashable, deque[int]], taken: set[int]) -> int | None:
    """The first that has one of these signs and is free; who is passed over is taken, and looked at only once."""
    for sign in wanted:
        candidates = index.get(sign)
        while candidates:
            candidate = candidates.popleft()
            if candidate not in taken:
                taken.add(candidate)
                return candidate
    return None


def _translated(finding: FindingExcerpt, layers: Mapping[str, str]) -> list[str]:
    """The layers of an old finding by their new ids; those that are gone under no id."""
    return [layers.get(layer, f"(gone) {layer}") for layer in finding.layers]


# ------------------------------------------------------------------ what became of it


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a finding, and why."""

    change: Change
    why: str
    decades: float | None = None


def _change(
    pair: Pair, layers: Mapping[str, str], sides: tuple[Excerpt, Excerpt], gate: Gate, tolerance: float
) -> FindingChange:
    """What became of one finding."""
    old, new = pair
    finding = new or old
    assert finding is not None
    gained, lost = _layers_named(old, new, layers)
    if old is None or new is None:
        verdict = _came_or_went(old, finding, sides)
    else:
        growth = math.log10(len(sides[1].layers) / len(sides[0].layers)) if sides[0].layers and sides[1].layers else 0.0
        verdict = _went_on(old, new, _steps(old, new, growth), tolerance, elsewhere=bool(gained))
    return FindingChange(
        change=verdict.change,
        rule=finding.rule,
        name=finding.name,
        regression=verdict.change in {Change.GAINED, Change.WORSENED} and gate.counts(finding.severity),
        why=verdict.why,
        decades=verdict.decades,
        layers_gained=gained,
        layers_lost=lost,
        old=old,
        new=new,
    )


def _layers_named(
    old: FindingExcerpt | None, new: FindingExcerpt | None, layers: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those that only the new one names, by their new ids; those that only the old one names, by their old ids."""
    before = () if old is None else old.layers
    after = () if new is None else new.layers
    known = set() if old is None else set(_translated(old, layers))
    still = set(after)
    gained = tuple(layer for layer in after if layer not in known)
    return gained, tuple(layer for layer in before if layers.get(layer) not in still)


def _came_or_went(old: FindingExcerpt | None, finding: FindingExcerpt, sides: tuple[Excerpt, Excerpt]) -> Judgement:
    before, after = sides
    if old is None:
        why = "" if _is_looked_for(finding, before.options) else "not looked for before"
        return Judgement(Change.GAINED, why)
    return Judgement(Change.LOST, "" if _is_looked_for(finding, after.options) else "no longer looked for")


def _is_looked_for(finding: FindingExcerpt, options: Mapping[str, Any] | None) -> bool:
    """Whether `select` and `ignore` leave its rule in force."""
    selected, ignored = (_names(finding, (options or {}).get(option)) for option in ("select", "ignore"))
    return not ignored and (selected or not (options or {}).get("select"))


def _names(finding: FindingExcerpt, patterns: object) -> bool:
    listed = patterns if isinstance(patterns, list | tuple) else ()
    return any(isinstance(each, str) and (finding.rule.startswith(each) or finding.name == each) for each in listed)


def _went_on(
    old: FindingExcerpt, new: FindingExcerpt, steps: Mapping[str, float], tolerance: float, *, elsewhere: bool
) -> Judgement:
    """Worsened, eased, moved or unchanged; severity decides before steps of the evidence do."""
    up = max(steps, key=lambda name: steps[name], default="")
    down = min(steps, key=lambda name: steps[name], default="")
    largest = max((steps[up], steps[down]), key=abs) if steps else None
    if old.severity is not new.severity:
        change = Change.WORSENED if new.severity.rank > old.severity.rank else Change.EASED
        return Judgement(change, f"severity {old.severity.value}, now {new.severity.value}", largest)
    if steps and steps[up] > tolerance + ROUNDING:
        return Judgement(Change.WORSENED, _step_words(up, steps[up], old, new), steps[up])
    if steps and steps[down] < -tolerance - ROUNDING:
        return Judgement(Change.EASED, _step_words(down, steps[down], old, new), steps[down])
    if elsewhere:
        return Judgement(Change.MOVED, "names other layers", largest)
    limits = [name for name in old.evidence.keys() & new.evidence.keys() if _limits_differ(old, new, name)]
    return Judgement(Change.UNCHANGED, f"held against another {', '.join(sorted(limits))}" if limits else "", largest)


def _steps(old: FindingExcerpt, new: FindingExcerpt, growth: float) -> dict[str, float]:
    """How many decades each evidence went further beyond its threshold, and the number of layers grew.

    `growth`: decades by which the network itself has more layers than before.
    """
    steps = {}
    for name in old.evidence.keys() & new.evidence.keys():
        before, after = old.evidence[name].margin_decades, new.evidence[name].margin_decades
        if before is not None and after is not None and not _limits_differ(old, new, name):
            steps[name] = 0.0 if before == after else after - before
    if old.layers and new.layers:
        number = math.log10(len(set(new.layers)) / len(set(old.layers)))
        share = number - growth
        steps[EXTENT] = min(number, share, key=abs) if number * share > 0 else 0.0
    return {name: step for name, step in sorted(steps.items()) if not math.isnan(step)}


def _limits_differ(old: FindingExcerpt, new: FindingExcerpt, name: str) -> bool:
    return old.evidence[name].threshold != new.evidence[name].threshold


def _step_words(name: str, step: float, old: FindingExcerpt, new: FindingExcerpt) -> str:
    if name == EXTENT:
        return f"layers named: {len(set(new.layers))}, before {len(set(old.layers))}"
    where = "further beyond" if step > 0 else "nearer to"
    return f"{name} {abs(step):.2g} decades {where} its threshold"
