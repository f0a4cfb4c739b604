from dataclasses import replace

import pytest

from analysis.facts import Provenance
from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import ENDING, severity

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
