"""What a layer showed: whatever was not looked at is absent, not zero."""

import dataclasses
from typing import Any

import pytest

from analysis.facts import ActivationStats, GradientStats, LayerStats, WeightStats


def unmeasured(kind: object) -> dict[str, object]:
    """Fields that have a default, with it."""
    fields = dataclasses.fields(kind)  # type: ignore[arg-type]
    return {field.name: field.default for field in fields if field.default is not dataclasses.MISSING}


def test_a_layer_that_nobody_looked_at_holds_no_number() -> None:
    layer = LayerStats(id="layer-01")
    held = {field.name: getattr(layer, field.name) for field in dataclasses.fields(layer)} | {"id": None}
    told = [held.pop(name) for name in ("leads_to_loss", "has_slope", "flags", "absent")]
    assert told == [True, False, (), {}]
    assert set(held.values()) == {None}


def test_statistics_of_units_gradients_and_weights_are_absent_until_measured() -> None:
    for kind in (ActivationStats, GradientStats, WeightStats):
        assert set(unmeasured(kind).values()) == {None}


def test_norms_shares_and_counts_of_a_gradient_cannot_be_left_out() -> None:
    assert unmeasured(GradientStats).keys() == {"fp16_underflow_fraction"}
    assert unmeasured(WeightStats).keys().isdisjoint({"norm", "rms"})


def gradient(largest: float) -> GradientStats:
    return GradientStats(norm=largest, rms=largest, max_abs=largest, zero_fraction=0.0, non_finite=0)


@pytest.mark.parametrize(
    ("changes", "cut_off"),
    [
        ({}, True),
        ({"leads_to_loss": False}, False),
        ({"has_slope": True}, False),
        ({"weight_gradient": gradient(0.0)}, True),
        ({"weight_gradient": gradient(1e-9)}, False),
    ],
)
def test_a_layer_is_cut_off_whose_ways_to_the_loss_have_no_slope(changes: dict[str, Any], *, cut_off: bool) -> None:
    assert LayerStats(id="l", **changes).is_cut_off is cut_off
