"""What a layer showed: whatever was not looked at is absent, not zero."""

import dataclasses

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
