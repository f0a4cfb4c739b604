from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.effects import factor_effects, factor_interactions
from analysis.diagnosis.policy import policy
from analysis.diagnosis.rows import Row
from analysis.diagnosis.verdict import verdict_of
from analysis.facts import KEPT, Effect, Factor, Flow, GradientStep, Range, Status, VariantInfo
from analysis.options import AnalysisOptions
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


def test_the_thresholds_in_force_decide_whether_cotangents_agree() -> None:
    weak, weaker = Range(least=-2.0, largest=1.0), Range(least=-0.5, largest=1.0)
    split = measurement(flow=flow(-4.0, leverage_by_seed=(weak, weaker)))
    looser = policy(AnalysisOptions(thresholds={"GH101.leverage_log10": -0.1}))
    stricter = policy(AnalysisOptions(thresholds={"GH101.leverage_log10": -3.0}))
    assert [verdict_of(split, (), rules) for rules in (looser, stricter)] == [Verdict.AT_RISK, Verdict.AT_RISK]
    strong, stronger = Range(least=0.0, largest=2.5), Range(least=0.0, largest=6.0)
    split = measurement(flow=flow(4.0, leverage_by_seed=(strong, stronger), input_rms=1.0))
    assert verdict_of(split, ()) is Verdict.INCONCLUSIVE
    between = policy(AnalysisOptions(thresholds={"GH102.leverage_log10": 7.0}))
    assert verdict_of(split, (), between) is Verdict.AT_RISK


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


def test_severities_are_ordered() -> None:
    assert [severity.rank for severity in Severity] == [0, 1, 2]
