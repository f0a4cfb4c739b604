"""The first screen, worked out by hand."""

from dataclasses import replace

import pytest

from analysis.diagnosis.brief import brief_of
from analysis.facts import Confidence, Parity, ParityStatus, Probe, ProbeKind, Provenance
from analysis.render._top import Top, best_remedy, top_of, training_words
from analysis.report import Report, Verdict
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial
from tests.analysis.render.pages import by_hand

VANISHING = replace(flow(-7.196, -6.7), leverage_log10=None)
CURED = report_of(
    measurement(flow=VANISHING, probe=FAILS),
    [trial("relu+he", measurement(flow=flow(0.2, 0.7), probe=replace(trained(0.012, 0.3), kind=ProbeKind.MEMORIZING)))],
)


def top(report: Report) -> Top:
    return top_of(report, brief_of(report))


def test_flow_is_told_before_and_after_in_powers_of_ten_in_words_and_by_both_measures() -> None:
    tile = top(CURED).tiles[0]
    assert tile.after is not None
    assert (tile.before.striptags(), tile.after.striptags()) == ("10\N{MINUS SIGN}7.2", "100.2")
    assert tile.words == (
        "16 million times smaller at the first layer than at the logits; after the change 1.6 times larger"
    )
    assert "by norm of tensors \N{MINUS SIGN}6.7 \N{RIGHTWARDS ARROW} +0.7" in getattr(tile.note, "striptags", str)()


def test_the_loss_before_and_after_is_that_of_one_training_and_says_which() -> None:
    tile = top(CURED).tiles[1]
    assert tile.after is not None
    assert (tile.before.striptags(), tile.after.striptags()) == ("1.00", "0.30")
    assert tile.note == "Both after 50 steps on one batch of 32 samples; the worst of 2 seeds."
    alone = top(report_of(measurement(probe=LEARNS))).tiles[1]
    assert (alone.before.striptags(), alone.after, alone.tone) == ("0.30", None, "healthy")
    assert alone.note == "After 50 steps on minibatches of 32 samples."
    assert top(report_of()).tiles[1].note == "Not trained."


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (LEARNS, "50 steps on minibatches of 32 samples"),
        (replace(LEARNS, kind=ProbeKind.MEMORIZING), "50 steps on one batch of 32 samples"),
        (replace(LEARNS, held_out=64), "50 steps on 192 samples, judged by 64 others"),
    ],
)
def test_a_training_is_told_by_its_steps_and_its_samples(probe: Probe, words: str) -> None:
    assert training_words(probe) == words


def test_the_cause_is_one_sentence_and_what_else_the_recipe_says_of_it_follows() -> None:
    said = top(CURED)
    assert (
        said.cause == "A short training on the sample batch does not bring the loss down." or said.cause.count(".") == 1
    )
    assert f"{said.cause} {said.more}" == brief_of(CURED).cause
    healthy = top(report_of(measurement(probe=LEARNS)))
    assert (healthy.cause, healthy.more, healthy.best) == ("No gradient-flow problem found.", "", None)


def test_confidence_is_that_of_the_cause_and_of_the_healthy_follows_from_the_training() -> None:
    assert top(by_hand()).tiles[2].before == "high"
    assert top(report_of(measurement(probe=LEARNS))).tiles[2].before == "high"
    assert top(report_of()).tiles[2].before == "medium"
    made_up = measurement(probe=LEARNS, confidence_cap=Confidence.MEDIUM)
    assert top(report_of(made_up)).tiles[2].before == "medium"
    assert top(report_of(measurement(flow=flow(None)))).tiles[2].before == "none"  # type: ignore[arg-type]


def test_a_healthy_network_is_offered_no_change() -> None:
    assert best_remedy(by_hand()) == by_hand().remedies[0]
    assert best_remedy(by_hand().model_copy(update={"verdict": Verdict.HEALTHY})) is None


def test_a_translation_that_does_not_agree_is_noted() -> None:
    equal = Parity(reference="onnxruntime 1", status=ParityStatus.EQUAL)
    off = replace(equal, status=ParityStatus.ILL_CONDITIONED, detail="as far off as float32 is")
    assert top(report_of(measurement(parity=equal))).notes == ()
    assert top(report_of(measurement(parity=off))).notes == (
        "Translation to torch against onnxruntime 1: ill conditioned: as far off as float32 is",
    )
    (unchecked,) = top(report_of()).notes
    assert unchecked == "The translation to torch was not checked against onnxruntime."


def test_a_note_is_told_once() -> None:
    off = Parity(reference="onnxruntime 1", status=ParityStatus.ILL_CONDITIONED, detail="as far off as float32 is")
    notes = ("inputs are synthetic", "targets are synthetic", "only 1 sample", off.detail)
    for provenance, kept in ((Provenance.SYNTHETIC, ["only 1 sample"]), (Provenance.UPLOADED, [*notes[:3]])):
        report = report_of(measurement(parity=off))
        batch = report.batch.model_copy(update={"provenance": provenance.value, "notes": notes})
        said = top(report.model_copy(update={"batch": batch})).notes
        assert [each for each in said if each in notes] == kept
        assert sum(off.detail in each for each in said) == 1
        assert ("The batch was made up" in said[0]) is (provenance is Provenance.SYNTHETIC)
