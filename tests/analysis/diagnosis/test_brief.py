import math
from dataclasses import replace

from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.rules import RULES
from analysis.facts import Flow, Parity, ParityStatus, ProbeKind, Range
from analysis.report import Verdict
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, probe, run
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import trained, trial

VANISHING = flow(-6.0, leverage_log10=Range(least=-4.0, largest=1.0), decades_per_layer=-0.5)
SICK = measurement(flow=VANISHING, probe=FAILS)
CURED = trial("he", measurement(flow=flow(-0.25), probe=trained(0.2, 0.25)))


def test_the_recipe_says_cause_change_effect_cost_and_certainty() -> None:
    brief = brief_of(report_of(SICK, [CURED]))
    assert brief.verdict.startswith("unhealthy: 2 errors")
    assert brief.cause.startswith("The gradient that reaches the first layer is too small to train it.")
    assert "loses 6.0 decades (0.5 a layer)" in brief.cause
    assert brief.change == "Do it."
    assert brief.moved == (
        "Gradient flow from -6.0 to -0.2 decades; loss after a short training from 1.00 to 0.25 of chance "
        "(worst of 2 seeds)."
    )
    assert brief.cost == "1 node changed; the network computes another function: train anew."
    assert brief.certainty.startswith("Cause: high confidence (GH101 vanishing-gradient).")
    assert "learnt with all 2 seeds (0.20 to 0.25 of chance)" in brief.certainty


def test_the_summary_of_a_report_is_made_of_the_same_words() -> None:
    report = report_of(SICK, [CURED])
    brief = brief_of(report)
    assert report.summary == f"{brief.cause} {brief.change} {brief.moved}"


def test_what_the_root_does_not_explain_is_named_beside_it() -> None:
    blind = measurement(flow=replace(VANISHING, collapse_decades=-9.0, blindness_log10=-5.0), probe=FAILS)
    assert "Also found" not in brief_of(report_of(blind)).cause  # the vanishing gradient explains it


def test_a_destructive_remedy_says_what_is_lost() -> None:
    lost = trial("he", CURED.measurement, destructive=True)
    assert "weights that look trained are lost" in brief_of(report_of(SICK, [lost])).cost


def test_remedies_that_cannot_be_told_apart_are_named() -> None:
    other = trial("he+batch_norm", CURED.measurement)
    assert "As good, within the spread of seeds: he+batch_norm." in brief_of(report_of(SICK, [CURED, other])).certainty


def test_a_remedy_that_was_slow_to_learn_one_batch_is_not_called_one_that_did() -> None:
    slow = trial("he", measurement(probe=trained(0.95)))
    slow = replace(slow, info=replace(slow.info, learns=True))
    certainty = brief_of(report_of(SICK, [slow])).certainty
    assert "slow to learn one batch (0.95 to 0.95 of chance), learnt from minibatches in time" in certainty
    assert "learnt with" not in certainty


def test_a_proof_by_memorising_says_so() -> None:
    memorized = replace(trained(0.2, 0.25), kind=ProbeKind.MEMORIZING, steps=20)
    proven = trial("he", replace(CURED.measurement, probe=memorized))
    assert "20 steps on 256 samples show memorising" in brief_of(report_of(SICK, [proven])).certainty


def test_healthy_is_worded_as_no_problem_found_and_asks_for_no_change() -> None:
    brief = brief_of(report_of(measurement(probe=LEARNS)))
    assert (brief.verdict, brief.cause) == ("healthy", "No gradient-flow problem found.")
    assert (brief.change, brief.moved, brief.cost) == ("", "", "")
    assert "It learnt in a short training: 0.30 of chance (one seed)." in brief.certainty


def test_healthy_without_a_training_says_so() -> None:
    assert brief_of(report_of()).certainty == "By its gradient flow alone: it was not trained."


def test_a_gradient_that_does_not_arrive_is_said_in_words() -> None:
    dead = measurement(flow=flow(-math.inf, leverage_log10=Range(least=-math.inf, largest=-math.inf)), probe=FAILS)
    brief = brief_of(report_of(dead, [CURED]))
    assert "No gradient arrives at the first layer." in brief.cause
    assert brief.moved.startswith("Gradient flow from no gradient to -0.2 decades; ")


def test_a_flow_nobody_measured_is_left_out() -> None:
    unknown = measurement(flow=Flow(), probe=FAILS)
    moved = brief_of(report_of(unknown, [CURED])).moved
    assert moved == "Loss after a short training from 1.00 to 0.25 of chance (worst of 2 seeds)."


def test_what_costs_nothing_comes_before_the_change_and_decay_does_not() -> None:
    patient = measurement(probe=probe(run("sgd", 1.0), run("adam", 0.2)))
    report = report_of(patient, [trial("he", measurement(probe=trained(0.2, 0.25)))])
    brief = brief_of(report)
    assert brief.first.startswith("Adam learns where SGD does not")
    assert "decay" not in brief.first
    assert report.summary.index(brief.first) < report.summary.index(brief.change) == report.summary.index("Do it.")


def test_without_a_proven_treatment_the_reason_and_the_usual_remedies_are_said() -> None:
    why = {
        "effort is quick": report_of(SICK, left_out=[("training of treatments", "effort is quick")]),
        "none that was measured looked promising enough": report_of(SICK),
        "of 1 that were trained none learnt clearly better": report_of(
            SICK, [trial("he", measurement(probe=trained(0.99)))]
        ),
    }
    for words, report in why.items():
        change = brief_of(report).change
        assert change.startswith("No treatment was proven to help: ")
        assert words in change
        assert "What usually helps: Replace saturating activations by ReLU" in change


def test_inconclusive_says_what_is_missing() -> None:
    nothing = measurement(flow=Flow(absent={"decades_rms": "no trunk"}))
    cause = brief_of(report_of(nothing, left_out=[("training probe", "effort is quick")])).cause
    assert cause == "Neither gradient flow nor a training probe could be measured: no trunk; effort is quick."
    weak, sound = Range(least=-2.0, largest=1.0), Range(least=-0.5, largest=1.0)
    split = report_of(measurement(flow=flow(-4.0, leverage_by_seed=(weak, sound))))
    assert split.verdict is Verdict.INCONCLUSIVE
    assert "disagree" in brief_of(split).cause


def test_a_translation_that_could_not_be_checked_is_said() -> None:
    parity = Parity(reference="onnxruntime", status=ParityStatus.UNAVAILABLE)
    assert "onnxruntime: unavailable." in brief_of(report_of(measurement(parity=parity, probe=LEARNS))).certainty


def test_every_rule_says_what_usually_helps_on_one_line() -> None:
    for rule in RULES:
        (words, *_) = rule.sections["Remedies"]
        assert words
        assert "\n" not in words
