"""What each level of a factor moves, alone and together with a level of another."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Final, cast

from analysis.diagnosis.rows import Row
from analysis.facts import Status, VariantInfo
from analysis.report.parts import Decades

KEPT: Final = "kept"
# ------------------------------------------------------------------ parts


Choices = tuple[tuple[str, str], ...]
"""Factor and level, for each factor."""


def factor_effects(rows: Sequence[Row]) -> dict[str, Decades]:
    """How many decades each level moved flow, on average over pairs of variants that differ in nothing else."""
    flows = _flows(rows)
    changes: dict[str, list[tuple[float, float]]] = {}
    for choices, flow in flows.items():
        for place, (factor, level) in _levels(choices):
            plain = flows.get(_without(choices, place))
            if plain is not None:
                changes.setdefault(f"{factor}={level}", []).append((flow[0] - plain[0], flow[1] - plain[1]))
    return _averages(changes)


def factor_interactions(rows: Sequence[Row]) -> dict[str, Decades]:
    """How far two levels together moved flow beyond what each did alone, on average over what else was chosen."""
    flows = _flows(rows)
    changes: dict[str, list[tuple[float, float]]] = {}
    for choices, both in flows.items():
        for (first, one), (second, other) in itertools.combinations(_levels(choices), 2):
            less = [_without(choices, second), _without(choices, first), _without(_without(choices, first), second)]
            alone = [flows.get(each) for each in less]
            if None not in alone:
                a, b, neither = cast("list[tuple[float, float]]", alone)
                name = f"{'='.join(one)} x {'='.join(other)}"
                changes.setdefault(name, []).append(
                    (both[0] - a[0] - b[0] + neither[0], both[1] - a[1] - b[1] + neither[1])
                )
    return _averages(changes)


def _flows(rows: Sequence[Row]) -> dict[Choices, tuple[float, float]]:
    """Decades of the measured variants, both normalisations, by what they chose."""
    found: dict[Choices, tuple[float, float]] = {}
    for row in rows:
        if row.measurement is not None and row.info.status in {Status.MEASURED, Status.DERIVED}:
            flow = row.measurement.flow
            if flow.decades_rms is not None and flow.decades_norm is not None:
                found[_choices(row.info)] = (flow.decades_rms, flow.decades_norm)
    return found


def _levels(choices: Choices) -> list[tuple[int, tuple[str, str]]]:
    """Place, factor and level of what is not kept."""
    return [(place, choice) for place, choice in enumerate(choices) if choice[1] != KEPT]


def _without(choices: Choices, place: int) -> Choices:
    return (*choices[:place], (choices[place][0], KEPT), *choices[place + 1 :])


def _averages(changes: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, Decades]:
    return {
        name: Decades(
            decades_rms=sum(rms for rms, _ in moved) / len(moved),
            decades_norm=sum(norm for _, norm in moved) / len(moved),
        )
        for name, moved in sorted(changes.items())
    }


def _choices(info: VariantInfo) -> Choices:
    clip = info.gradient_step.clip
    return (
        ("input", info.structure.input),
        ("activation", info.structure.activation),
        ("normalization", info.structure.normalization),
        ("residual", info.structure.residual),
        ("attention", info.structure.attention),
        ("initialization", info.parameters.initialization),
        ("branch_ends", info.parameters.branch_ends),
        ("clip", clip.kind.value if clip is not None else KEPT),
        ("decay", f"{info.gradient_step.weight_decay:g}" if info.gradient_step.weight_decay else KEPT),
    )
