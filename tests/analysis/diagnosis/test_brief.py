import math
from dataclasses import replace
from typing import Any

import pytest

from analysis.diagnosis.brief import Brief, brief_of
from analysis.diagnosis.rules import RULES
from analysis.facts import (
    Flow,
    NonFinite,
    OwnLoss,
    Parity,
    ParityStatus,
    Probe,
    ProbeKind,
    Provenance,
    Range,
    TimeProfile,
    ValueFacts,
)
from analysis.report import Advice, Finding, Report, Verdict
from analysis.report.parts import AdviceKind, Decades
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, probe, run
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import CURED, SICK, VANISHING, error, remark, trained, trial, warning

FADED = "Step 0 of 40 tells most about the label; the gradient there is 9.5 decades below its peak"


def with_findings(*findings: Finding, flow: Flow | None = None) -> Brief:
    """Of an ill network with these findings and nothing else to say of its flow."""
    changes = {"verdict": Verdict.UNHEALTHY, "findings": findings, "gradient_flow": flow or Flow()}
    return brief_of(report_of().model_copy(update=changes))


def with_remedy(report: Report | None = None, **changes: object) -> Brief:
    """Of a report whose remedy differs in this from one that was proven."""
    report = report or report_of(SICK, [CURED])
    (remedy,) = report.remedies
    return brief_of(report.model_copy(update={"remedies": (remedy.model_copy(update=changes),)}))


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


def test_the_graph_s_own_loss_is_told_from_start_to_end_in_its_own_unit() -> None:
    own = OwnLoss(steps=200, samples=64, unit=40.0, runs=(run("sgd", 0.25), run("adam", 0.5), run("adam", math.nan)))
    loss = replace(measurement().loss, name="graph", chance=None)
    brief = brief_of(report_of(measurement(loss=loss, own_loss=own)))
    assert "from 40 to 10 with sgd 0.1, 20 with adam 0.1 in 200 steps" in brief.cause
    assert brief.certainty.startswith("Its own loss came down in a short training")
    untrained = brief_of(report_of(measurement(loss=loss)))
    assert untrained.verdict.startswith("inconclusive")
    assert "the graph ends in its own loss, and it was not trained" in untrained.cause


def test_what_the_root_does_not_explain_is_named_beside_it() -> None:
    blind = measurement(flow=replace(VANISHING, collapse_decades=-9.0, blindness_log10=-5.0), probe=FAILS)
    assert "Also found" not in brief_of(report_of(blind)).cause  # the vanishing gradient explains it
    apart = [warning("GH300", "scale"), warning("GH301", "depth"), warning("GH301", "depth"), remark("GH901")]
    explained = warning("GH302", "spread").model_copy(update={"caused_by": ("GH101",)})
    assert with_findings(error("GH101"), *apart, explained).cause == "x. Also found: scale, depth."
    assert with_findings(error("GH101"), explained).cause == "x."


def test_a_destructive_remedy_says_what_is_lost() -> None:
    lost = trial("he", CURED.measurement, destructive=True)
    assert "weights that look trained are lost" in brief_of(report_of(SICK, [lost])).cost


@pytest.mark.parametrize(
    ("chain", "said"),
    [
        ({"memory_decades": -9.5, "informative_step": 0}, f"{FADED}."),
        ({"memory_decades": -9.5, "informative_step": 0, "horizon_steps": 6},
         f"{FADED}. It stays over 1 % of its peak for 6 steps back from the last."),
        ({"memory_decades": -math.inf, "informative_step": 3, "horizon_steps": 39},
         "Step 3 of 40 tells most about the label; no gradient arrives."),
        ({"growth_decades": 7.0}, "Back through 40 steps the gradient gains 7.0 decades."),
        ({"growth_decades": -7.0}, "Back through 40 steps the gradient loses 7.0 decades."),
    ],
)  # fmt: skip
def test_of_a_memory_the_way_back_through_time_is_told_and_not_that_by_depth(chain: dict[str, Any], said: str) -> None:
    time = TimeProfile(node="cells", direction="forward", gradient_log10=(0.0,) * 40, **chain)
    report = report_of(SICK)
    found = report.findings[0].model_copy(update={"rule": "GH401", "message": "It fades.", "caused_by": ()})
    brief = brief_of(report.model_copy(update={"findings": (found,), "through_time": (time,)}))
    assert brief.cause == f"It fades. {said}"
    without = brief_of(report.model_copy(update={"findings": (found,)}))
    assert without.cause.startswith("It fades. From the logits back to the first layer")


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
    assert "20 steps on one batch of 32 samples show memorising" in brief_of(report_of(SICK, [proven])).certainty


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


def test_inconclusive_says_what_is_missing() -> None:
    nothing = measurement(flow=Flow(absent={"decades_rms": "no trunk"}))
    cause = brief_of(report_of(nothing, left_out=[("training probe", "effort is quick")])).cause
    assert cause == "Neither gradient flow nor a training probe could be measured: no trunk; effort is quick."
    weak, sound = Range(least=-2.0, largest=1.0), Range(least=-0.5, largest=1.0)
    split = report_of(measurement(flow=flow(-4.0, leverage_by_seed=(weak, sound))))
    assert split.verdict is Verdict.INCONCLUSIVE
    assert brief_of(split).cause == (
        "The random directions disagree about the flow of gradients, and no training probe was run to decide."
    )


def test_a_translation_that_could_not_be_checked_is_said() -> None:
    parity = Parity(reference="onnxruntime", status=ParityStatus.UNAVAILABLE)
    assert "onnxruntime: unavailable." in brief_of(report_of(measurement(parity=parity, probe=LEARNS))).certainty


def test_every_rule_says_what_usually_helps_on_one_line() -> None:
    for rule in RULES:
        (words, *_) = rule.sections["Remedies"]
        assert words
        assert "\n" not in words


# ------------------------------------------------------------------ the verdict in one line


def test_the_verdict_counts_what_was_found_by_how_serious_it_is() -> None:
    one = with_findings(error("GH101"), warning("GH301"), remark("GH901"))
    assert one.verdict == "unhealthy: 1 error, 1 warning, 1 remark"
    several = with_findings(warning("GH301"), warning("GH302"), remark("GH901"), remark("GH902"), remark("GH903"))
    assert several.verdict == "unhealthy: 2 warnings, 3 remarks"
    assert brief_of(report_of(measurement(flow=flow(-2.0)))).verdict == "at risk"


def test_the_first_nan_is_named_with_its_operation() -> None:
    broken = NonFinite(stage="forward", node="distance", value="d", operator="Sqrt")
    cause = brief_of(report_of(measurement(non_finite=broken, flow=flow(math.nan)))).cause
    assert " The first is at node distance (Sqrt), forward: value d." in cause
    back = brief_of(report_of(measurement(non_finite=replace(broken, stage="backward")))).cause
    assert " The first is the gradient of d (node distance), behind Sqrt." in back
    unnamed = NonFinite(stage="loss", node="output", value="y")
    assert " The first is at node output, loss: value y." in brief_of(report_of(measurement(non_finite=unnamed))).cause


# ------------------------------------------------------------------ causes in words


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (flow(-0.9), ""),
        (flow(-1.0), " From the logits back to the first layer the gradient loses 1.0 decades."),
        (flow(1.0), " From the logits back to the first layer the gradient gains 1.0 decades."),
        (
            flow(-1.54, decades_per_layer=-0.128),
            " From the logits back to the first layer the gradient loses 1.5 decades (0.13 a layer).",
        ),
        (
            flow(6.0, decades_per_layer=2.0),
            " From the logits back to the first layer the gradient gains 6.0 decades (2 a layer).",
        ),
        (flow(math.inf), " An infinite gradient arrives at the first layer."),
        (flow(math.nan), ""),
        (flow(-math.inf), " No gradient arrives at the first layer."),
    ],
)
def test_from_one_decade_on_the_cause_says_what_becomes_of_the_gradient(seen: Flow, words: str) -> None:
    assert with_findings(error("GH101"), flow=seen).cause == f"x.{words}"


def test_a_flow_between_good_and_bad_that_no_training_decided_is_said_to_be_that() -> None:
    brief = brief_of(report_of(measurement(flow=flow(-2.0))))
    assert brief.cause == "The flow of gradients is out of its usual range and no training probe was run to decide."
    assert brief.change == (
        "No treatment was proven to help: none that was measured looked promising enough to be trained."
    )
    assert (brief.moved, brief.cost, brief.certainty) == ("", "", "")


# ------------------------------------------------------------------ what the change does


def test_advice_is_said_one_after_the_other() -> None:
    kinds = (AdviceKind.ADAM, AdviceKind.WEIGHT_DECAY, AdviceKind.LARGER_LEARNING_RATE)
    cards = tuple(Advice(kind=kind, words=f"Try {kind.value}.", values={}) for kind in kinds)
    assert brief_of(report_of().model_copy(update={"advice": cards})).first == "Try adam. Try larger_learning_rate."


def test_a_loss_without_a_training_of_the_unchanged_model_has_nothing_to_come_from() -> None:
    report = report_of(SICK, [CURED])
    proof = report.remedies[0].proof.model_copy(update={"unchanged": None, "seeds": 1})
    assert with_remedy(report, proof=proof, before=Decades()).moved == (
        "Loss after a short training to 0.25 of chance (one seed)."
    )


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (-math.inf, "Gradient flow from no gradient to -0.2 decades; "),
        (math.inf, "Gradient flow from an infinite one to -0.2 decades; "),
        (3.0, "Gradient flow from +3.0 to -0.2 decades; "),
        (math.nan, ""),
    ],
)
def test_a_flow_that_is_no_finite_number_is_said_in_words(before: float, words: str) -> None:
    loss = "oss after a short training from 1.00 to 0.25 of chance (worst of 2 seeds)."
    said = f"{words}l{loss}" if words else f"L{loss}"
    assert with_remedy(before=Decades(decades_rms=before, decades_norm=before)).moved == said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"changes_function": False}, "The outputs stay as they are."),
        ({"changes_function": False, "training_only": True}, "The graph stays as it is."),
        ({}, "The network computes another function: train anew."),
        ({"destructive": True}, "Weights that look trained are lost: train anew."),
        ({"cost": "one node changed"}, "One node changed; the network computes another function: train anew."),
    ],
)
def test_the_cost_of_a_change_is_what_it_changes_and_what_becomes_of_the_network(
    changes: dict[str, object], words: str
) -> None:
    assert with_remedy(**{"cost": "", **changes}).cost == words


# ------------------------------------------------------------------ how sure


KIND = "50 steps on 256 samples show learning; not generalisation."


def proven(*, learns: bool | None, seeds: int = 2, equivalent: tuple[str, ...] = ()) -> str:
    """What is said of a remedy beside its cause."""
    report = report_of(SICK, [CURED])
    proof = report.remedies[0].proof.model_copy(update={"learns": learns, "seeds": seeds})
    said = with_remedy(report, proof=proof, equivalent_to=equivalent).certainty
    return said.removeprefix("Cause: high confidence (GH101 vanishing-gradient). ")


def test_the_certainty_of_a_change_names_seeds_and_losses_and_what_they_show() -> None:
    assert proven(learns=None) == f"Change: learnt with all 2 seeds (0.20 to 0.25 of chance). {KIND}"
    assert proven(learns=False) == f"Change: learnt with all 2 seeds (0.20 to 0.25 of chance). {KIND}"
    assert proven(learns=True, seeds=1, equivalent=("lsuv", "he+clip")) == (
        "Change: learnt with its one seed (0.20 to 0.25 of chance), and from minibatches. "
        f"{KIND} As good, within the spread of seeds: lsuv, he+clip."
    )


def test_a_remedy_whose_variant_is_not_in_the_report_is_proven_all_the_same() -> None:
    assert with_remedy(variant="gone").certainty == (
        "Cause: high confidence (GH101 vanishing-gradient). Change: learnt with all 2 seeds (0.20 to 0.25 of chance)."
    )


def test_samples_that_were_held_out_are_not_among_those_trained_on() -> None:
    kept = replace(LEARNS, held_out=56)
    assert brief_of(report_of(measurement(probe=kept))).certainty == (
        "It learnt in a short training: 0.30 of chance (one seed). "
        "50 steps on 200 samples, the loss is that of 56 it was not trained on."
    )


def test_few_that_were_held_out_are_said_to_be_few() -> None:
    few = replace(LEARNS, samples=64, held_out=16)
    assert brief_of(report_of(measurement(probe=few))).certainty.endswith(
        "50 steps on 48 samples, the loss is that of 16 it was not trained on. "
        "So few may mislead: send 192 samples or more."
    )


def test_what_is_healthy_though_it_did_not_learn_says_so() -> None:
    healthy = {"verdict": Verdict.HEALTHY, "findings": ()}
    memorizing = replace(FAILS, kind=ProbeKind.MEMORIZING)
    report = report_of(measurement(probe=memorizing)).model_copy(update=healthy)
    assert brief_of(report).certainty == (
        "It did not learn in a short training: 1.00 of chance (one seed). "
        "50 steps on one batch of 32 samples show memorising, which ranks treatments; not generalisation."
    )


def test_a_translation_that_is_ill_conditioned_is_said_in_plain_words() -> None:
    parity = Parity(reference="onnxruntime", status=ParityStatus.ILL_CONDITIONED)
    certainty = brief_of(report_of(measurement(parity=parity))).certainty
    assert certainty.endswith("Translation to torch against onnxruntime: ill conditioned.")


def without_a_batch(*notes: str) -> Brief:
    report = report_of(SICK)
    model = replace(
        report.model,
        inputs=(
            ValueFacts(name="x", dtype="float32", shape=("N", None, 3)),
            ValueFacts(name="ids", dtype="int64"),
        ),
        notes=notes,
    )
    batch = report.batch.model_copy(update={"provenance": Provenance.SYNTHETIC.value})
    return brief_of(report.model_copy(update={"model": model, "batch": batch}))


def test_a_made_up_batch_comes_first_with_what_to_send_instead() -> None:
    fresh, trained = without_a_batch("weights look untrained"), without_a_batch("weights look trained")
    for brief in (fresh, trained):
        assert brief.summary.startswith("The batch was made up")
        assert "npz with x float32 [N, any, 3], ids int64 and target." in brief.batch
    assert "scale of the inputs is not judged" in fresh.batch
    assert "units, inputs, outputs and what can be learnt are not judged" in trained.batch
    assert brief_of(report_of(SICK)).batch == ""


@pytest.mark.parametrize(
    ("decades", "probe", "said"),
    [
        (
            -3.4,
            None,
            "No gradient-flow problem found. Its -3.4 decades are out of the healthy range, which says little of",
        ),
        (
            2.6,
            None,
            "No gradient-flow problem found. Its +2.6 decades are out of the healthy range, which says little of",
        ),
        (-3.4, LEARNS, "No gradient-flow problem found."),
        (-0.5, None, "No gradient-flow problem found."),
    ],
)
def test_a_flow_that_is_no_finding_on_made_up_inputs_is_told_all_the_same(
    decades: float, probe: Probe | None, said: str
) -> None:
    """The page draws it outside of the band: words must not deny it."""
    invented = replace(measurement().batch, provenance=Provenance.SYNTHETIC)
    brief = brief_of(report_of(measurement(flow=flow(decades), batch=invented, trained=True, probe=probe)))
    assert brief.verdict.startswith("healthy")
    assert brief.cause.startswith(said)
    assert ("out of the healthy range" in brief.cause) is ("out of" in said)


# ------------------------------------------------------------------ nothing explains it


def test_where_only_gh105_remains_what_was_ruled_out_and_tried_is_said() -> None:
    cause = brief_of(report_of(measurement(probe=FAILS))).cause
    assert "Ruled out: vanishing-gradient (flow_decades 0, limit -2.8), " in cause
    assert cause.endswith("Tried in vain: sgd at 0.1, adam at 0.1.")
    assert "Ruled out" not in brief_of(report_of(SICK)).cause


def test_the_cause_is_the_root_in_words_and_what_follows_from_it_is_not_told_beside_it() -> None:
    silent, stuck = (error(rule).model_copy(update={"caused_by": ("GH305",)}) for rule in ("GH201", "GH105"))
    assert with_findings(silent, stuck, warning("GH305")).cause == "x."


@pytest.mark.parametrize(("loss", "words"), [(0.096, "0.10"), (0.0422, "0.042"), (0.0, "0.00")])
def test_losses_of_a_remedy_are_said_alike_everywhere(loss: float, words: str) -> None:
    best = trial("he", measurement(probe=trained(loss)))
    said = brief_of(report_of(measurement(flow=flow(-6.0), probe=FAILS), [best]))
    assert f"({words} to {words} of chance)" in said.certainty
    assert f"to {words} of chance" in said.moved
