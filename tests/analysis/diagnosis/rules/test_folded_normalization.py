import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import Numbers, anatomy, changed, evidence, found, severity

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
        ({**anatomy(folded_share=0.6)}, None),  # no convolutions
        ({**anatomy(channel_norm_spread=0.3), "convolutional": True, "trained": True}, None),
        ({**anatomy(channel_norm_spread=0.6, fresh_biases=True), "convolutional": True, "trained": True}, INFO),
        ({**anatomy(channel_norm_spread=0.1, fresh_biases=True), "convolutional": True, "trained": True}, None),
        ({**anatomy(fresh_biases=True), "convolutional": True}, None),
    ],
)
def test_what_folding_leaves_behind_is_a_remark_where_nothing_normalises(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH905", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("signs", "shown"),
    [
        ({"channel_norm_spread": 0.8}, {"channel_norm_spread": (0.8, 0.3, 0.5)}),
        ({"folded_share": 1.0}, {"folded_share": (1, 0.5, 0.301029996)}),  # log10(2)
        ({"folded_share": 0.5}, {"folded_share": (0.5, 0.5, 0)}),
        (
            {"channel_norm_spread": 0.8, "folded_share": 1.0},
            {"channel_norm_spread": (0.8, 0.3, 0.5), "folded_share": (1, 0.5, 0.301029996)},
        ),
    ],
)
def test_every_sign_stands_beside_its_limit_and_the_convolutions_are_named(
    signs: dict[str, object], shown: Numbers
) -> None:
    patient = measurement(**anatomy(**signs), **changed(2, op="Conv"), convolutional=True, trained=True)
    finding = found("GH905", patient)
    assert evidence(finding) == shown
    assert finding.layers == ("layer-02",)
    assert finding.affects == ()
