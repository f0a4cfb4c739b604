"""The first screen, worked out by hand."""

import math
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import pytest
from markupsafe import Markup

from analysis.diagnosis.brief import brief_of
from analysis.facts import Confidence, Flow, Parity, ParityStatus, Probe, ProbeKind, Provenance, TimeProfile, Zone
from analysis.render._numbers import loss_of
from analysis.render._top import Tile, Top, best_remedy, top_of, training_words
from analysis.report import Report, Severity, Verdict
from analysis.report.parts import Decades
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
    assert tile.note == Markup(
        'By RMS of elements; by norm of tensors <data value="-6.7">\N{MINUS SIGN}6.7</data> \N{RIGHTWARDS ARROW} '
        '<data value="0.7">+0.7</data>.'
    )


@pytest.mark.parametrize(
    ("rms", "words", "before"),
    [
        (0.04, "about as large at the first layer as at the logits", "100"),
        (-2.0, "100 times smaller at the first layer than at the logits", "10\N{MINUS SIGN}2.0"),
        (-math.inf, "no gradient arrives", "none"),
        (math.inf, "an infinite gradient arrives", "not finite"),
        (math.nan, "not finite", "not finite"),
        (None, "not measured", "\N{EN DASH}"),
    ],
)
def test_what_is_no_number_is_compared_with_nothing(rms: float | None, words: str, before: str) -> None:
    known = report_of().model_copy(update={"gradient_flow": Flow(decades_rms=rms, decades_norm=-1.25, zone=Zone.GREY)})
    assert top(known).tiles[0] == Tile(
        title="Gradient flow", before=ANY, after=None, words=words, tone="warning",
        note=Markup('By RMS of elements; by norm of tensors <data value="-1.25">\N{MINUS SIGN}1.2</data>.'),
    )  # fmt: skip
    assert top(known).tiles[0].before.striptags() == before
    after = by_hand().model_copy(update={"gradient_flow": known.gradient_flow})
    assert top(after).tiles[0].words == f"{words}; after the change 10 times smaller"


def test_a_flow_that_was_not_measured_says_why_and_a_change_that_was_not_is_not_told() -> None:
    silent = Flow(zone=Zone.UNKNOWN, absent={"decades_rms": "no layer has a gradient"})
    tile = top(report_of().model_copy(update={"gradient_flow": silent})).tiles[0]
    assert (tile.note, tile.tone) == ("no layer has a gradient", "info")
    assert top(report_of().model_copy(update={"gradient_flow": Flow(zone=Zone.GREEN)})).tiles[0].note == ""
    report = by_hand()
    unknown = report.remedies[0].model_copy(update={"after": Decades()})
    tile = top(report.model_copy(update={"remedies": (unknown,)})).tiles[0]
    assert (tile.after, tile.tone) == (None, "error")
    assert tile.words == "1 million times smaller at the first layer than at the logits"
    assert str(tile.note).endswith('by norm of tensors <data value="-6.0">\N{MINUS SIGN}6.0</data>.')


def test_a_loss_is_told_of_one_seed_or_of_the_worst_and_without_a_training_of_the_change_for_itself() -> None:
    report = by_hand()
    best = report.remedies[0]
    one = best.model_copy(update={"proof": best.proof.model_copy(update={"seeds": 1})})
    tile = top(report.model_copy(update={"remedies": (one,)})).tiles[1]
    assert tile == Tile(
        title="Loss over chance", before=loss_of(1.0), after=loss_of(0.3), tone="error",
        words="1 is the best constant answer, 0 is perfect",
        note="Both after 50 steps on minibatches of 32 samples; one seed.",
    )  # fmt: skip
    alone = Tile(
        title="Loss over chance", before=loss_of(1.0), after=None, tone="error", words=tile.words,
        note="After 50 steps on minibatches of 32 samples.",
    )  # fmt: skip
    unknown = best.model_copy(update={"proof": best.proof.model_copy(update={"unchanged": None})})
    assert top(report.model_copy(update={"remedies": (unknown,)})).tiles[1] == alone
    gone = best.model_copy(update={"variant": "gone"})
    assert top(report.model_copy(update={"remedies": (gone,)})).tiles[1] == alone
    untrained = tuple(
        each.model_copy(update={"probe": None} if each.id == best.variant else {}) for each in report.variants
    )
    assert top(report.model_copy(update={"variants": untrained})).tiles[1] == alone


def test_the_edge_of_the_loss_is_as_bad_as_the_worst_that_is_found_about_the_training() -> None:
    report = by_hand()
    (found,) = [each for each in report.findings if each.rule == "GH105"]
    other = found.model_copy(update={"rule": "GH101", "severity": Severity.ERROR})

    def tone(*severities: Severity) -> str:
        own = tuple(found.model_copy(update={"severity": each}) for each in severities)
        return top(report.model_copy(update={"findings": (other, *own)})).tiles[1].tone

    assert tone() == "healthy"
    assert tone(Severity.INFO) == "info"
    assert tone(Severity.INFO, Severity.WARNING) == "warning"
    assert tone(Severity.WARNING, Severity.ERROR, Severity.INFO) == "error"


@pytest.mark.parametrize(
    ("confidence", "tone"),
    [(Confidence.HIGH, "healthy"), (Confidence.MEDIUM, "info"), (Confidence.LOW, "warning")],
)
def test_the_edge_of_confidence_is_as_sure_as_the_cause(confidence: Confidence, tone: str) -> None:
    report = by_hand()
    sure = tuple(each.model_copy(update={"confidence": confidence}) for each in report.findings)
    tile = top(report.model_copy(update={"findings": sure})).tiles[2]
    assert tile == Tile(
        title="Confidence", before=Markup(confidence.value), after=None, tone=tone,
        words=f"Cause: {confidence.value} confidence (GH101 vanishing-gradient)",
        note="Change: learnt with all 2 seeds (0.20 to 0.30 of chance). "
        "50 steps on 256 samples show learning; not generalisation.",
    )  # fmt: skip
    (short,) = [each for each in top(report_of()).tiles if each.title == "Confidence"]
    assert (short.words, short.note, short.tone) == ("By its gradient flow alone: it was not trained", "", "info")
    nothing = top(report_of(measurement(flow=Flow()))).tiles[2]
    assert (nothing.before, nothing.tone, nothing.words, nothing.note) == ("none", "warning", "", "")


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


@pytest.mark.parametrize(
    ("rule", "chain", "before", "words"),
    [
        ("GH401", {"memory_decades": -9.5, "informative_step": 0}, "10\N{MINUS SIGN}9.5",
         "3.2 billion times smaller at step 0 of 3 than at its peak"),
        ("GH401", {"growth_decades": -4.0}, "10\N{MINUS SIGN}4.0",
         "10,000 times smaller at step 0 of 3 than at the last step"),
        ("GH402", {"growth_decades": 3.0, "memory_decades": -1.0}, "103.0",
         "1,000 times larger at step 0 of 3 than at the last step"),
    ],
)  # fmt: skip
def test_where_the_way_through_time_is_the_cause_it_has_the_first_tile(
    rule: str, chain: dict[str, Any], before: str, words: str
) -> None:
    report = by_hand()
    time = TimeProfile(node="cells", direction="forward", gradient_log10=(0.0,) * 3, **chain)
    found = report.findings[0].model_copy(update={"rule": rule, "severity": Severity.WARNING})
    shown = report.model_copy(update={"findings": (found,), "through_time": (time,)})
    tile = top(shown).tiles[0]
    assert (tile.title, tile.before.striptags(), tile.words, tile.tone) == (
        "Gradient through time",
        before,
        words,
        "warning",
    )
    assert tile.note.startswith("By depth, from the logits to the first layer: <data")
    assert top(shown.model_copy(update={"through_time": ()})).tiles[0].title == "Gradient flow"
    assert top(report.model_copy(update={"through_time": (time,)})).tiles[0].title == "Gradient flow"


def test_the_cause_is_one_sentence_and_what_else_the_recipe_says_of_it_follows() -> None:
    said = top(CURED)
    assert said.cause == "The gradient that reaches the first layer is too small to train it."
    assert said.more == "From the logits back to the first layer the gradient loses 7.2 decades."
    assert said.best is not None
    assert said.best.id == "relu+he"
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
    assert best_remedy(by_hand().model_copy(update={"verdict": Verdict.AT_RISK})) == by_hand().remedies[0]
    assert best_remedy(by_hand().model_copy(update={"verdict": Verdict.HEALTHY})) is None
    assert best_remedy(by_hand().model_copy(update={"remedies": ()})) is None


def test_a_translation_that_does_not_agree_is_noted() -> None:
    equal = Parity(reference="onnxruntime 1", status=ParityStatus.EQUAL)
    off = replace(equal, status=ParityStatus.ILL_CONDITIONED, detail="as far off as float32 is")
    assert top(report_of(measurement(parity=equal))).notes == ()
    assert top(report_of(measurement(parity=off))).notes == (
        "Translation to torch against onnxruntime 1: ill conditioned: as far off as float32 is",
    )
    short = replace(off, detail="")
    assert top(report_of(measurement(parity=short))).notes == (
        "Translation to torch against onnxruntime 1: ill conditioned",
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
