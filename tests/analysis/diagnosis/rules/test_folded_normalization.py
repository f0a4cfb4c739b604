import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import anatomy, severity

INFO = Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({**anatomy(channel_norm_spread=0.6), "convolutional": True, "trained": True}, INFO),
        ({**anatomy(channel_norm_spread=0.6), "convolutional": True}, None),
        ({**anatomy(channel_norm_spread=0.1, fresh_biases=True), "convolutional": True}, INFO),
        ({**anatomy(folded_share=0.6), "convolutional": True}, INFO),
        ({**anatomy(folded_share=0.4), "convolutional": True}, None),
        ({**anatomy(folded_share=0.6), "convolutional": True, "normalized": True}, None),
    ],
)
def test_what_folding_leaves_behind_is_a_remark_where_nothing_normalises(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH905", measurement(**changes)) is expected
