from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import policy
from analysis.diagnosis.verdict import cotangents_agree, verdict_of
from analysis.facts import Flow, Provenance, Range
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


def test_the_flow_of_trained_weights_says_nothing_on_made_up_inputs() -> None:
    weak, sound = Range(least=-2.0, largest=1.0), Range(least=-0.5, largest=1.0)
    invented = replace(measurement().batch, provenance=Provenance.SYNTHETIC)
    for seen in (flow(-2.0), flow(-4.0, leverage_by_seed=(weak, sound)), flow(-4.0, leverage_by_seed=(weak, weak))):
        assert verdict_of(measurement(flow=seen, batch=invented, trained=True), ()) is Verdict.HEALTHY
        assert verdict_of(measurement(flow=seen, batch=invented), ()) is not Verdict.HEALTHY
    assert verdict_of(measurement(flow=Flow(), batch=invented, trained=True), ()) is Verdict.INCONCLUSIVE


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


def pair(one: float, other: float, *, of: str) -> tuple[Range, Range]:
    """Of two cotangents the least, or the largest leverage; the other end is sound."""
    sound = {"least": 0.0, "largest": 1.0}
    return Range(**{**sound, of: one}), Range(**{**sound, of: other})


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (-2.0, -0.5, False),
        (-2.0, -3.0, True),  # both weak
        (-0.5, 0.0, True),  # neither
        (-1.0, -0.5, True),  # who stands on the limit of -1 is not weak
        (-1.0, -1.1, False),
    ],
)
def test_cotangents_agree_where_both_or_neither_see_a_weak_layer(one: float, other: float, *, expected: bool) -> None:
    assert cotangents_agree(flow(leverage_by_seed=pair(one, other, of="least"))) is expected
    assert cotangents_agree(flow(leverage_by_seed=pair(other, one, of="least"))) is expected


@pytest.mark.parametrize(
    ("one", "other", "rms", "expected"),
    [
        (2.5, 6.0, 1.0, False),
        (3.5, 6.0, 1.0, True),  # both strong
        (2.5, 2.9, 1.0, True),  # neither
        (3.0, 2.9, 1.0, True),  # who stands on the limit of 3 is not strong
        (3.0, 3.1, 1.0, False),
        (4.0, 6.0, 100.0, False),  # 2 and 4 over the RMS of the input
        (2.5, 6.0, 1000.0, True),  # -0.5 and 3
        (1.5, 0.5, 0.01, False),  # 3.5 and 2.5
        (2.5, 6.0, 0.0, True),  # an input of zeros lends no scale
        (2.5, 6.0, None, True),
    ],
)
def test_cotangents_agree_where_both_or_neither_reach_far_over_the_scale_of_the_input(
    one: float, other: float, rms: float | None, *, expected: bool
) -> None:
    seen = flow(leverage_by_seed=pair(one, other, of="largest"), input_rms=rms)
    assert cotangents_agree(seen) is expected


def test_one_cotangent_and_none_agree_with_themselves() -> None:
    assert cotangents_agree(flow(leverage_by_seed=(Range(least=-9.0, largest=9.0),)))
    assert cotangents_agree(flow())


def test_cotangents_that_disagree_on_either_end_leave_red_undecided_and_nothing_else() -> None:
    """Grey and green do not rest on leverage."""
    for ends, red in ((pair(-2.0, 0.0, of="least"), -4.0), (pair(1.0, 6.0, of="largest"), 4.0)):
        assert verdict_of(measurement(flow=flow(red, leverage_by_seed=ends)), ()) is Verdict.INCONCLUSIVE
        assert verdict_of(measurement(flow=flow(2.0, 1.6, leverage_by_seed=ends)), ()) is Verdict.AT_RISK
        assert verdict_of(measurement(flow=flow(0.0, leverage_by_seed=ends)), ()) is Verdict.HEALTHY


@pytest.mark.parametrize(
    ("severity", "expected"),
    [(Severity.INFO, Verdict.HEALTHY), (Severity.WARNING, Verdict.AT_RISK), (Severity.ERROR, Verdict.UNHEALTHY)],
)
def test_the_worst_finding_decides_where_the_probe_has_settled_the_flow(severity: Severity, expected: Verdict) -> None:
    remark = error("GH907").model_copy(update={"severity": Severity.INFO})
    finding = error("GH303").model_copy(update={"severity": severity})
    for seen in (flow(), flow(-2.0), Flow()):
        for order in ((remark, finding), (finding, remark)):
            assert verdict_of(measurement(flow=seen, probe=LEARNS), order) is expected


def test_a_warning_is_no_verdict_where_neither_flow_nor_probe_was_measured() -> None:
    warning = error("GH303").model_copy(update={"severity": Severity.WARNING})
    assert verdict_of(measurement(flow=Flow()), (warning,)) is Verdict.INCONCLUSIVE
    assert verdict_of(measurement(flow=Flow()), (error("GH303"),)) is Verdict.UNHEALTHY
