"""Gradient by depth: what each layer of the unchanged model gets in each variant, relative to the logits.

The curves, the network map, the heat map and the table of layers all read it here, so that a layer has one number.
"""

import math
from collections.abc import Sequence

from analysis.facts import LayerStats
from analysis.report import Report, Variant


def profile(report: Report, variant: Variant) -> tuple[float | None, ...]:
    """Decades at each layer of the unchanged model; what a treatment added has no place there.

    None where nothing was measured, -inf where no gradient arrives, NaN where it is not finite.
    """
    if variant.same_as is not None:
        variant = next((each for each in report.variants if each.id == variant.same_as), variant)
    added, removed = set(variant.added_layers), set(variant.removed_layers)
    own = [each for each in variant.layers or () if each.id not in added]
    kept = [layer.id for layer in report.layers if layer.id not in removed]
    reference = _reference(variant, own)
    decades = {name: _decades(each, reference) for name, each in zip(kept, own, strict=False)}
    return tuple(decades.get(layer.id) for layer in report.layers)


def _reference(variant: Variant, layers: Sequence[LayerStats]) -> float | None:
    """The gradient at the logits, or at the last layer that gets one."""
    logits = None if variant.measurement is None else variant.measurement.logits_gradient_rms
    arriving = [each.activation_gradient.rms for each in layers if each.activation_gradient is not None]
    return next((rms for rms in (logits, *reversed(arriving)) if rms and math.isfinite(rms)), None)


def _decades(stats: LayerStats, reference: float | None) -> float | None:
    arriving = stats.activation_gradient
    if arriving is None:
        return None
    if not math.isfinite(arriving.rms):
        return math.nan
    if arriving.rms <= 0:
        return -math.inf
    return None if reference is None else math.log10(arriving.rms / reference)
