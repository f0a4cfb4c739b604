from dataclasses import replace

import pytest

from analysis.facts import Provenance
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import ENDING, Numbers, evidence, found, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"loss": replace(ENDING, targets=Provenance.SYNTHETIC)}, INFO),
        ({"loss": replace(ENDING, targets=Provenance.NOT_NEEDED)}, None),
    ],
)
def test_what_nobody_sent_is_a_remark(changes: dict[str, object], expected: Severity | None) -> None:
    assert severity("GH907", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("inputs", "targets", "shown"),
    [
        (
            Provenance.SYNTHETIC,
            Provenance.SYNTHETIC,
            {"synthetic_inputs": (1, 0, None), "synthetic_targets": (1, 0, None)},
        ),
        (Provenance.SYNTHETIC, Provenance.NOT_NEEDED, {"synthetic_inputs": (1, 0, None)}),
        (Provenance.UPLOADED, Provenance.SYNTHETIC, {"synthetic_targets": (1, 0, None)}),
    ],
)
def test_the_remark_says_which_of_both_was_made_up(inputs: Provenance, targets: Provenance, shown: Numbers) -> None:
    batch = replace(measurement().batch, provenance=inputs)
    finding = found("GH907", measurement(batch=batch, loss=replace(ENDING, targets=targets)))
    assert evidence(finding) == shown
    assert finding.affects == ()
