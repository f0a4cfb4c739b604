import pytest

from analysis.diagnosis.causes import diagnose
from analysis.diagnosis.verdict import verdict_of
from analysis.facts import Probe
from analysis.report import Severity, Verdict
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, probe, run
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
        ({**anatomy(folded_share=0.6, kept_statistics=True), "convolutional": True}, INFO),
        ({**anatomy(folded_share=0.6, kept_statistics=False), "convolutional": True}, None),
        ({**anatomy(channel_norm_spread=0.6, kept_statistics=False), "convolutional": True, "trained": True}, None),
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


FOLDED = {**anatomy(folded_share=1.0), "convolutional": True, "probe": FAILS}


def test_where_the_network_learns_with_normalisation_put_back_that_is_the_cause_and_all_else_a_remark() -> None:
    patient = measurement(**FOLDED, unfolded=LEARNS, flow=flow(-6.0))
    found_of = {each.rule: each.severity for each in diagnose(patient)}
    assert found_of.pop("GH905") is Severity.WARNING
    assert "GH105" in found_of
    assert set(found_of.values()) == {INFO}
    assert verdict_of(patient, diagnose(patient)) is Verdict.AT_RISK


@pytest.mark.parametrize(("unfolded", "expected"), [(None, Severity.WARNING), (FAILS, Severity.ERROR)])
def test_an_error_stays_only_if_it_fails_with_normalisation_put_back_too(
    unfolded: Probe | None, expected: Severity
) -> None:
    found_of = {each.rule: each.severity for each in diagnose(measurement(**FOLDED, unfolded=unfolded))}
    assert found_of["GH105"] is expected
    assert found_of["GH905"] is INFO


def test_what_plain_descent_does_not_learn_either_way_is_not_excused() -> None:
    adam_alone = probe(run("sgd", 1.0), run("adam", 0.3))
    assert severity("GH905", measurement(**FOLDED, unfolded=adam_alone)) is INFO
