"""Gradient by depth: what each layer of the unchanged model gets in each variant, relative to the logits.

The curves, the network map, the heat map and the table of layers all read it here, so that a layer has one number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.facts import ActivationGradient
from analysis.report import Report, Variant


@dataclass(frozen=True, slots=True)
class Profile:
    """Decades at each layer of the unchanged model; what a treatment added has no place there.

    None where nothing was measured, -inf where no gradient arrives, NaN where it is not finite.
    """

    rms: tuple[float | None, ...]
    norm: tuple[float | None, ...]
    """The same by the norm of tensors; at the last layer it begins where `rms` does."""
    blocks: Mapping[int, float]
    """By place of the last layer of a residual block: by RMS, at the output of the block."""
    block_norms: Mapping[int, float]

    @property
    def judged(self) -> tuple[float | None, ...]:
        """Of both measures the one nearer to even, by which the verdict goes."""
        return tuple(_nearer(*each) for each in zip(self.rms, self.norm, strict=True))


def profile(report: Report, variant: Variant) -> Profile:
    """What the layers get."""
    if variant.same_as is not None:
        variant = next((each for each in report.variants if each.id == variant.same_as), variant)
    added, removed = set(variant.added_layers), set(variant.removed_layers)
    kept = iter([layer.id for layer in report.layers if layer.id not in removed])
    gradients: dict[str, ActivationGradient | None] = {}
    ends: dict[str, ActivationGradient | None] = {}
    name = None
    for stats in variant.layers or ():
        if stats.id not in added:
            name = next(kept, None)
            if name is None:
                break
            gradients[name] = stats.activation_gradient
        if name is not None and stats.block_gradient is not None:
            ends[name] = stats.block_gradient  # of an added layer: the block ends behind it all the same
    rms, norm = _reference(variant, [each for each in gradients.values() if each is not None])
    arriving, behind = ([found.get(layer.id) for layer in report.layers] for found in (gradients, ends))
    return Profile(
        rms=tuple(None if each is None else _decades(each.rms, rms) for each in arriving),
        norm=tuple(None if each is None else _decades(each.norm, norm) for each in arriving),
        blocks=_known({place: _decades(each.rms, rms) for place, each in enumerate(behind) if each is not None}),
        block_norms=_known({place: _decades(each.norm, norm) for place, each in enumerate(behind) if each is not None}),
    )


def _nearer(rms: float | None, norm: float | None) -> float | None:
    known = [each for each in (rms, norm) if each is not None]
    return min(known, key=lambda each: math.inf if math.isnan(each) else abs(each), default=None)


def _known(values: Mapping[int, float | None]) -> dict[int, float]:
    return {place: value for place, value in values.items() if value is not None}


def _reference(variant: Variant, arriving: Sequence[ActivationGradient]) -> tuple[float | None, float | None]:
    """The gradient at the logits, or at the last layer that gets one: by RMS, by norm."""
    last = next((each for each in reversed(arriving) if each.rms and math.isfinite(each.rms)), None)
    logits = None if variant.measurement is None else variant.measurement.logits_gradient_rms
    if last is None:
        return (logits if logits and math.isfinite(logits) else None), None
    rms = logits if logits and math.isfinite(logits) else last.rms
    return rms, last.norm * rms / last.rms


def _decades(value: float, reference: float | None) -> float | None:
    if not math.isfinite(value):
        return math.nan
    if value <= 0:
        return -math.inf
    return math.log10(value / reference) if reference else None
