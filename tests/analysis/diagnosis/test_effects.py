from dataclasses import replace

import pytest

from analysis.diagnosis.effects import factor_effects, factor_interactions
from analysis.diagnosis.rows import Row
from analysis.facts import KEPT, Effect, Factor, GradientStep, Status, VariantInfo
from tests.analysis.diagnosis.builders import flow, measurement


def row(rms: float | None, *, activation: str = "kept", initialization: str = "kept", clip: bool = False) -> Row:
    clipping = "global_norm" if clip else KEPT
    chosen = {Factor.ACTIVATION: activation, Factor.INITIALIZATION: initialization, Factor.CLIP: clipping}
    info = VariantInfo(
        id="x",
        plain="x",
        choices={factor: level for factor, level in chosen.items() if level != KEPT},
        gradient_step=GradientStep(),
        status=Status.MEASURED if rms is not None else Status.NOT_APPLICABLE,
        effect=Effect.CHANGES_FUNCTION,
    )
    return Row(info, None if rms is None else measurement(flow=flow(rms)))


def test_a_factor_effect_is_the_mean_over_pairs_that_differ_in_nothing_else() -> None:
    rows = [
        row(-6.0), row(-2.0, activation="relu"), row(-5.0, initialization="he"),
        row(0.0, activation="relu", initialization="he"), row(-6.0, clip=True),
    ]  # fmt: skip
    effects = factor_effects(rows)
    assert effects["activation=relu"].decades_rms == pytest.approx((4.0 + 5.0) / 2)
    assert effects["initialization=he"].decades_rms == pytest.approx((1.0 + 2.0) / 2)
    assert effects["clip=global_norm"].decades_rms == 0.0
    assert "normalization=batch_norm" not in effects


def test_an_interaction_is_what_two_levels_do_beyond_the_sum_of_each_alone() -> None:
    rows = [
        row(-6.0), row(-2.0, activation="relu"), row(-5.0, initialization="he"),
        row(0.0, activation="relu", initialization="he"), row(-4.0, activation="relu", clip=True),
    ]  # fmt: skip
    interactions = factor_interactions(rows)
    assert interactions.keys() == {"activation=relu x initialization=he"}
    assert interactions["activation=relu x initialization=he"].decades_rms == pytest.approx(6.0 - 4.0 - 1.0)


def test_cells_that_do_not_apply_have_no_effect() -> None:
    assert factor_effects([row(-1.0), row(None, activation="relu")]) == {}


def cell(rms: float | None, norm: float | None, status: Status = Status.MEASURED, **levels: str) -> Row:
    """A variant with these levels, by the name of the factor."""
    plain = row(0.0)
    chosen = {Factor(name): level for name, level in levels.items()}
    seen = flow(decades_rms=rms, decades_norm=norm)
    return Row(replace(plain.info, choices=chosen, status=status), measurement(flow=seen))


def test_both_normalisations_have_an_effect_of_their_own() -> None:
    effects = factor_effects([cell(-6.0, -5.0), cell(-2.0, -4.0, activation="relu")])
    assert (effects["activation=relu"].decades_rms, effects["activation=relu"].decades_norm) == (4.0, 1.0)
    rows = [
        cell(-6.0, -5.0), cell(-2.0, -4.0, activation="relu"), cell(-5.0, -3.0, initialization="he"),
        cell(0.0, 1.0, activation="relu", initialization="he"),
    ]  # fmt: skip
    both = factor_interactions(rows)["activation=relu x initialization=he"]
    assert (both.decades_rms, both.decades_norm) == (6.0 - 4.0 - 1.0, 6.0 - 1.0 - 2.0)


def test_both_are_means_over_the_pairs() -> None:
    rows = [
        cell(-6.0, -5.0), cell(-2.0, -4.0, activation="relu"), cell(-5.0, -3.0, initialization="he"),
        cell(0.0, 1.0, activation="relu", initialization="he"),
    ]  # fmt: skip
    effect = factor_effects(rows)["activation=relu"]
    assert (effect.decades_rms, effect.decades_norm) == ((4.0 + 5.0) / 2, (1.0 + 4.0) / 2)


def test_an_interaction_is_the_mean_over_what_else_was_chosen() -> None:
    """1 beyond the sum without residuals, 2 with them."""
    rows = [
        cell(-6.0, 0.0), cell(-2.0, 0.0, activation="relu"), cell(-5.0, 0.0, initialization="he"),
        cell(0.0, 0.0, activation="relu", initialization="he"),
        cell(-3.0, 0.0, residual="on"), cell(-2.0, 0.0, activation="relu", residual="on"),
        cell(-2.5, 0.0, residual="on", initialization="he"),
        cell(0.5, 0.0, activation="relu", residual="on", initialization="he"),
    ]  # fmt: skip
    interactions = factor_interactions(rows)
    assert interactions["activation=relu x initialization=he"].decades_rms == pytest.approx(1.5)
    assert set(interactions) == {
        "activation=relu x initialization=he", "activation=relu x residual=on", "residual=on x initialization=he",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "counts"),
    [(Status.MEASURED, True), (Status.DERIVED, True), (Status.NOT_APPLICABLE, False), (Status.LEFT_OUT, False)],
)
def test_only_what_was_measured_or_derived_has_an_effect(status: Status, *, counts: bool) -> None:
    assert bool(factor_effects([cell(-6.0, -6.0), cell(-2.0, -2.0, status, activation="relu")])) is counts


@pytest.mark.parametrize(("rms", "norm"), [(None, -2.0), (-2.0, None), (None, None)])
def test_a_flow_that_was_not_measured_has_no_effect(rms: float | None, norm: float | None) -> None:
    assert factor_effects([cell(-6.0, -6.0), cell(rms, norm, activation="relu")]) == {}


def test_a_level_without_its_plain_twin_has_no_effect_and_no_interaction() -> None:
    alone = [cell(-6.0, -6.0), cell(0.0, 0.0, activation="relu", initialization="he")]
    assert factor_effects(alone) == {}
    for missing in (cell(-2.0, 0.0, activation="relu"), cell(-5.0, 0.0, initialization="he")):
        assert factor_interactions([*alone, missing]) == {}


def test_effects_are_listed_by_name_whatever_was_measured_first() -> None:
    rows = [cell(-6.0, 0.0), cell(-2.0, 0.0, residual="on"), cell(-5.0, 0.0, activation="relu")]
    assert list(factor_effects(rows)) == list(factor_effects(rows[::-1])) == ["activation=relu", "residual=on"]
