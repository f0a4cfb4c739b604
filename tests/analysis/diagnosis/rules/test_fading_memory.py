import math
from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.policy import policy
from analysis.facts import ProbeKind
from analysis.options import AnalysisOptions
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import PROFILE, Numbers, evidence, found, remembering, severity

WARNING, ERROR, INFO = Severity.WARNING, Severity.ERROR, Severity.INFO
BY_HEART = replace(LEARNS, kind=ProbeKind.MEMORIZING)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (remembering(memory_decades=-4.0), ERROR),
        ({**remembering(memory_decades=-4.0), "probe": LEARNS}, WARNING),
        ({**remembering(memory_decades=-4.0), "probe": BY_HEART}, ERROR),  # by what is said later
        (remembering(memory_decades=-2.5), WARNING),
        ({**remembering(memory_decades=-2.5), "probe": LEARNS}, INFO),
        ({**remembering(memory_decades=-2.5), "probe": BY_HEART}, INFO),
        (remembering(memory_decades=-2.0), None),
        (remembering(), None),
        ({}, None),
        (remembering(memory_decades=None, growth_decades=-6.0, horizon_steps=None), None),
        (remembering(memory_decades=None, growth_decades=-3.0, horizon_steps=8), None),
        (remembering(memory_decades=None, growth_decades=None, horizon_steps=8), None),
        (remembering(memory_decades=None, growth_decades=-6.0, horizon_steps=8), INFO),
    ],
)
def test_a_memory_that_fades_is_a_warning_and_then_an_error(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH401", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("held_out", "known", "expected"),
    [(16, 0.49, WARNING), (47, 0.49, WARNING), (48, 0.49, ERROR), (16, 0.51, ERROR), (0, 0.49, ERROR)],
)
def test_with_few_samples_held_out_and_the_others_known_by_heart_more_of_them_may_teach_what_fades(
    held_out: int, known: float, expected: Severity
) -> None:
    runs = [replace(run("sgd", 1.0), curve=(1.0, 1.0)), replace(run("adam", 1.0), curve=(1.0, known))]
    patient = measurement(**remembering(memory_decades=-4.0), probe=replace(probe(*runs), held_out=held_out))
    assert severity("GH401", patient) is expected


@pytest.mark.parametrize(("direction", "expected"), [("forward", None), ("reverse", Severity.ERROR)])
def test_a_peak_further_back_than_the_informative_step_is_no_fading_memory(
    direction: str, expected: Severity | None
) -> None:
    """What a chain reads last it has not lost, however much the gradient grows behind it."""
    growing = tuple(float(6 - step) for step in range(10))
    chain = replace(
        PROFILE, direction=direction, gradient_log10=growing, informative_step=8, memory_decades=growing[8] - growing[0]
    )
    assert severity("GH401", measurement(through_time=(chain,), recurrent=True)) is expected


def test_a_required_horizon_that_is_not_reached_is_an_error_even_where_the_network_learns() -> None:
    patient = measurement(**remembering(horizon_steps=8, memory_decades=None), probe=LEARNS)
    chosen = policy(AnalysisOptions(required_horizon=20))
    found = {finding.rule: finding.severity for finding in diagnose(patient, chosen)}
    assert found["GH401"] is Severity.ERROR
    assert "GH401" not in {finding.rule for finding in diagnose(patient, policy(AnalysisOptions(required_horizon=5)))}


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"memory_decades": -4.0}, {"memory_decades": (-4, -3, 1)}),
        ({"memory_decades": -3.0}, {"memory_decades": (-3, -2, 1)}),
        ({"memory_decades": -4.0, "informative_step": None}, {"memory_decades": (-4, -3, 1)}),
        ({"memory_decades": -math.inf}, {"memory_decades": (-math.inf, -3, math.inf)}),
        (
            {"memory_decades": None, "growth_decades": -6.0, "horizon_steps": 8},
            {"horizon_steps": (8, 30, None)},  # of so many steps
        ),
    ],
)
def test_the_memory_stands_beside_the_limit_that_it_crossed(changes: dict[str, object], shown: Numbers) -> None:
    assert evidence(found("GH401", measurement(**remembering(**changes)))) == shown


def test_how_far_the_loss_reaches_back_accuses_nobody() -> None:
    remark = remembering(memory_decades=None, growth_decades=-6.0, horizon_steps=8)
    assert found("GH401", measurement(**remark)).affects == ()
    fading = remembering(memory_decades=-4.0)
    assert found("GH401", measurement(**fading)).affects == ("sgd", "adam")


@pytest.mark.parametrize(("reached", "expected"), [(7, ERROR), (8, None), (9, None), (None, None)])
def test_the_required_horizon_itself_is_far_enough(reached: int | None, expected: Severity | None) -> None:
    patient = measurement(**remembering(horizon_steps=reached))
    assert severity("GH401", patient, required_horizon=8) is expected


def test_the_horizon_stands_beside_the_required_one() -> None:
    finding = found("GH401", measurement(**remembering(horizon_steps=8)), required_horizon=80)
    assert evidence(finding) == {"horizon_steps": (8, 80, 1)}


@pytest.mark.parametrize(
    ("node", "expected"),
    [("cells", None), ("upper", ERROR)],  # the other direction of the same layer; a layer above it
)
def test_only_the_bottom_layer_counts_and_of_its_directions_the_one_that_reaches_further(
    node: str, expected: Severity | None
) -> None:
    short = replace(PROFILE, horizon_steps=5)
    longer = replace(PROFILE, node=node, direction="reverse", horizon_steps=12)
    assert severity("GH401", measurement(through_time=(short, longer)), required_horizon=10) is expected


@pytest.mark.parametrize(("other", "expected"), [(-6.0, INFO), (-1.0, None)])
def test_a_layer_loses_its_memory_where_both_directions_lose_it(other: float, expected: Severity | None) -> None:
    lost = replace(PROFILE, memory_decades=None, growth_decades=-6.0, horizon_steps=8)
    chains = (lost, replace(lost, direction="reverse", growth_decades=other))
    assert severity("GH401", measurement(through_time=chains)) is expected


@pytest.mark.parametrize(("direction", "step"), [("forward", 29), ("reverse", 0)])
def test_the_step_that_was_read_last_cannot_fade(direction: str, step: int) -> None:
    last = remembering(direction=direction, informative_step=step, memory_decades=0.0)
    assert severity("GH401", measurement(**last)) is None


def test_the_peak_on_the_way_is_sought_in_both_directions() -> None:
    """To step 2 of 10 the forward chain comes by 9 to 2, the reverse one by 0 to 2; peaks elsewhere do not count."""
    forward = (9.0, 9.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    reverse = (2.5, 1.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0)
    chains = (
        replace(PROFILE, gradient_log10=forward, informative_step=2, memory_decades=-9.0),
        replace(PROFILE, gradient_log10=reverse, informative_step=2, memory_decades=-9.0, direction="reverse"),
    )
    finding = found("GH401", measurement(through_time=chains))
    assert evidence(finding) == {"memory_decades": (-2.5, -2, 0.5)}
