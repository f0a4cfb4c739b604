from dataclasses import replace

import pytest

from analysis.facts import Confidence, ProbeKind, Provenance
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import fired


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
