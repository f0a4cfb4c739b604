from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.effects import factor_effects, factor_interactions
from analysis.diagnosis.rows import Row
from analysis.diagnosis.verdict import verdict_of
from analysis.facts import (
    Clip,
    ClipKind,
    Effect,
    Flow,
    GradientStep,
    ParameterChoice,
    Range,
    Status,
    Structure,
    VariantInfo,
)
from analysis.report import Severity, Verdict
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, probe, run
from tests.analysis.diagnosis.trials import error

VANISHING = flow(-6.0, leverage_log10=Range(least=-4.0, largest=1.0))


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        (measurement(), Verdict.HEALTHY),
        (measurement(flow=flow(-2.0)), Verdict.AT_RISK),  # grey, and nothing to decide it
        (measurement(flow=flow(-2.0), probe=LEARNS), Verdict.HEALTHY),
        (measurement(flow=VANISHING), Verdict.UNHEALTHY),
        (measurement(flow=VANISHING, probe=LEARNS), Verdict.AT_RISK),
        (measurement(probe=FAILS), Verdict.UNHEALTHY),
        (measurement(probe=probe(run("sgd", 1.0), run("adam", 0.2))), Verdict.AT_RISK),
        (measurement(flow=Flow()), Verdict.INCONCLUSIVE),
        (measurement(flow=Flow(), probe=LEARNS), Verdict.HEALTHY),
    ],
)
def test_the_verdict(patient: object, expected: Verdict) -> None:
    assert verdict_of(patient, diagnose(patient)) is expected  # type: ignore[arg-type]


def test_seeds_that_disagree_are_inconclusive_but_an_error_is_an_error() -> None:
    weak, sound = Range(least=-2.0, largest=1.0), Range(least=-0.5, largest=1.0)
    split = measurement(flow=flow(-4.0, leverage_by_seed=(weak, sound)))
    assert verdict_of(split, ()) is Verdict.INCONCLUSIVE
    assert verdict_of(replace(split, probe=LEARNS), ()) is Verdict.HEALTHY
    assert verdict_of(measurement(flow=flow(-4.0, leverage_by_seed=(weak, weak))), ()) is Verdict.AT_RISK
    assert verdict_of(split, (error("GH101"),)) is Verdict.UNHEALTHY


def row(rms: float | None, *, activation: str = "kept", initialization: str = "kept", clip: bool = False) -> Row:
    info = VariantInfo(
        id="x",
        structure=Structure(activation=activation),
        parameters=ParameterChoice(initialization=initialization),
        gradient_step=GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=1.0) if clip else None),
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


def test_severities_are_ordered() -> None:
    assert [severity.rank for severity in Severity] == [0, 1, 2]
