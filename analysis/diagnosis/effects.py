"""What each level of a factor moves, alone and together with a level of another."""

import itertools
from collections.abc import Mapping, Sequence
from typing import cast

from analysis.diagnosis.rows import Row
from analysis.facts import Factor, Status
from analysis.report.parts import Decades

Levels = frozenset[tuple[Factor, str]]
"""The levels of a variant, those that are kept left out."""


def factor_effects(rows: Sequence[Row]) -> dict[str, Decades]:
    """How many decades each level moved flow, on average over pairs of variants that differ in nothing else."""
    flows = _flows(rows)
    changes: dict[str, list[tuple[float, float]]] = {}
    for levels, flow in flows.items():
        for factor, level in _ordered(levels):
            plain = flows.get(levels - {(factor, level)})
            if plain is not None:
                changes.setdefault(f"{factor}={level}", []).append((flow[0] - plain[0], flow[1] - plain[1]))
    return _averages(changes)


def factor_interactions(rows: Sequence[Row]) -> dict[str, Decades]:
    """How far two levels together moved flow beyond what each did alone, on average over what else was chosen."""
    flows = _flows(rows)
    changes: dict[str, list[tuple[float, float]]] = {}
    for levels, both in flows.items():
        for one, other in itertools.combinations(_ordered(levels), 2):
            less = [levels - {other}, levels - {one}, levels - {one, other}]
            alone = [flows.get(each) for each in less]
            if None not in alone:
                a, b, neither = cast("list[tuple[float, float]]", alone)
                name = f"{'='.join(one)} x {'='.join(other)}"
                changes.setdefault(name, []).append(
                    (both[0] - a[0] - b[0] + neither[0], both[1] - a[1] - b[1] + neither[1])
                )
    return _averages(changes)


def _flows(rows: Sequence[Row]) -> dict[Levels, tuple[float, float]]:
    """Decades of the measured variants, both normalisations, by what they chose."""
    found: dict[Levels, tuple[float, float]] = {}
    for row in rows:
        if row.measurement is not None and row.info.status in {Status.MEASURED, Status.DERIVED}:
            flow = row.measurement.flow
            if flow.decades_rms is not None and flow.decades_norm is not None:
                found[frozenset(row.info.choices.items())] = (flow.decades_rms, flow.decades_norm)
    return found


def _ordered(levels: Levels) -> list[tuple[Factor, str]]:
    """In the order of the factors, so that two of them have one name together."""
    return sorted(levels, key=lambda level: list(Factor).index(level[0]))


def _averages(changes: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Decades]:
    return {
        name: Decades(
            decades_rms=sum(rms for rms, _ in moved) / len(moved),
            decades_norm=sum(norm for _, norm in moved) / len(moved),
        )
        for name, moved in sorted(changes.items())
    }
