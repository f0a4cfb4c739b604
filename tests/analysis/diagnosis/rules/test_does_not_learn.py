from dataclasses import replace

import pytest

from analysis.facts import Confidence, ProbeKind, Provenance
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import evidence, fired, found


@pytest.mark.parametrize(
    ("runs", "expected", "affects"),
    [
        ([run("sgd", 1.0), run("adam", 1.0)], Severity.ERROR, ("sgd", "adam")),
        ([run("sgd", 1.0), run("adam", 0.5)], Severity.WARNING, ("sgd",)),
        ([run("sgd", 0.5), run("adam", 1.0)], None, ()),
        ([run("sgd", 0.5, 0), run("sgd", 1.0, 1)], Severity.ERROR, ("sgd", "adam")),  # the worst seed counts
    ],
)
def test_a_network_that_does_not_learn(runs: list[object], expected: Severity | None, affects: tuple[str, ...]) -> None:
    finding = fired("GH105", measurement(probe=probe(*runs)))  # type: ignore[arg-type]
    assert (None if finding is None else finding.severity) is expected
    assert finding is None or finding.affects == affects


def test_memorising_says_less_about_recurrent_networks() -> None:
    hasty = probe(run("sgd", 1.0), kind=ProbeKind.MEMORIZING)
    plain, recurrent = (
        fired("GH105", measurement(probe=hasty)),
        fired("GH105", measurement(probe=hasty, recurrent=True)),
    )
    assert plain is not None
    assert plain.confidence is Confidence.HIGH
    assert recurrent is not None
    assert recurrent.confidence is Confidence.MEDIUM


def test_targets_that_nobody_sent_are_no_proof_of_an_illness() -> None:
    invented = replace(measurement(probe=FAILS).loss, targets=Provenance.SYNTHETIC)
    finding = fired("GH105", measurement(probe=FAILS, loss=invented))
    assert (finding.severity, finding.confidence) == (Severity.WARNING, Confidence.MEDIUM)
    assert finding.affects == ("sgd", "adam")


@pytest.mark.parametrize(
    ("unfinished", "held_out", "expected"),
    [(True, 64, Severity.WARNING), (False, 64, Severity.ERROR), (True, 0, Severity.ERROR)],
)
def test_a_recurrent_network_is_not_condemned_before_it_had_its_time(
    unfinished: bool, held_out: int, expected: Severity
) -> None:
    finding = fired("GH105", measurement(probe=replace(FAILS, unfinished=unfinished, held_out=held_out)))
    assert finding.severity is expected


@pytest.mark.parametrize(
    ("kind", "changes", "limit"),
    [
        (ProbeKind.LEARNING, {}, 0.7),
        (ProbeKind.MEMORIZING, {}, 0.92),
        (ProbeKind.LEARNING, {"late": True}, 0.2),
        (ProbeKind.MEMORIZING, {"late": True}, 0.2),
        (ProbeKind.LEARNING, {"late": True, "held_out": 64}, 0.7),
        (ProbeKind.MEMORIZING, {"held_out": 1}, 0.7),
    ],
)
def test_the_loss_stands_beside_what_it_had_to_come_under(
    kind: ProbeKind, changes: dict[str, object], limit: float
) -> None:
    trained = replace(probe(run("sgd", 0.95), run("adam", 1.0), kind=kind), **changes)
    finding = found("GH105", measurement(probe=trained))
    assert evidence(finding) == {"best_loss_over_chance": (0.95, limit, None)}


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        (ProbeKind.MEMORIZING, {"attentive": True}, Confidence.MEDIUM),
        (ProbeKind.MEMORIZING, {"convolutional": True}, Confidence.HIGH),
        (ProbeKind.LEARNING, {"attentive": True}, Confidence.HIGH),
        (ProbeKind.LEARNING, {"recurrent": True}, Confidence.HIGH),
        (ProbeKind.LEARNING, {"idle_normalization": True}, Confidence.MEDIUM),
    ],
)
def test_how_sure_a_failure_is(kind: ProbeKind, changes: dict[str, object], expected: Confidence) -> None:
    finding = found("GH105", measurement(probe=probe(run("sgd", 1.0), run("adam", 1.0), kind=kind), **changes))
    assert finding.confidence is expected


@pytest.mark.parametrize(
    ("unfinished", "held_out", "expected"),
    [(True, 1, Confidence.MEDIUM), (True, 0, Confidence.HIGH), (False, 1, Confidence.HIGH)],
)
def test_a_training_that_was_cut_short_on_held_out_samples_is_less_sure(
    unfinished: bool, held_out: int, expected: Confidence
) -> None:
    finding = found("GH105", measurement(probe=replace(FAILS, unfinished=unfinished, held_out=held_out)))
    assert finding.confidence is expected
    assert (finding.severity is Severity.WARNING) is (expected is Confidence.MEDIUM)
