import math
from dataclasses import replace

import pytest

from analysis.diagnosis.rank import rank, score, shortlist
from analysis.diagnosis.score import static8
from analysis.facts import Flow, Measurement, NonFinite, TimeProfile, Zone
from analysis.facts.zones import zone
from analysis.report import Verdict
from tests.analysis.diagnosis.builders import FAILS, flow, measurement, probe, run, stats, with_activation
from tests.analysis.diagnosis.trials import error, trained, trial


@pytest.mark.parametrize(
    ("rms", "norm", "expected"),
    [
        (0.0, 0.0, Zone.GREEN), (-1.4, -1.4, Zone.GREEN), (-3.3, -2.2, Zone.GREY), (-3.0, -2.9, Zone.RED),
        (1.4, 1.6, Zone.GREEN), (1.7, 1.9, Zone.GREY), (1.9, 2.5, Zone.RED), (-3.3, -1.0, Zone.GREEN),
    ],
)  # fmt: skip
def test_both_normalisations_must_agree_on_red(rms: float, norm: float, expected: Zone) -> None:
    assert zone(flow(rms, norm)) is expected


def test_without_flow_there_is_no_light() -> None:
    assert zone(Flow()) is Zone.UNKNOWN


def test_static8_is_zero_for_a_healthy_network_and_adds_up_what_is_wrong() -> None:
    assert static8(measurement()) == 0.0
    assert static8(measurement(flow=flow(-3.0, -2.0))) == pytest.approx(1.0)
    assert static8(measurement(flow=flow(2.5, 1.5))) == pytest.approx(1.0)
    assert static8(measurement(flow=flow(collapse_decades=-4.0))) == pytest.approx(3.0)
    dead = (stats(1), with_activation(2, dead_fraction=0.9), stats(3))
    assert static8(measurement(stats=dead)) == pytest.approx(1.2)
    slow = tuple(stats(number, update_ratio=1e-4) for number in (1, 2, 3))
    assert static8(measurement(stats=slow)) == pytest.approx(2.0)
    high = replace(measurement().loss, value=230.0)
    assert static8(measurement(loss=high)) == pytest.approx(2 * (2.0 - 0.2))
    assert static8(measurement(non_finite=NonFinite(stage="loss", node="", value=""))) == 100.0


def test_the_shortlist_begins_with_the_most_promising_and_has_none_that_are_red() -> None:
    trials = [trial(f"t{n}", measurement(flow=flow(-1.0 - 0.2 * n))) for n in range(8)]
    trials.append(trial("red", measurement(flow=flow(-5.0))))
    chosen = [each.info.id for each in shortlist(Verdict.UNHEALTHY, trials)]
    assert chosen[:5] == ["t0", "t1", "t2", "t3", "t4"]
    assert "red" not in chosen


def test_a_recurrent_network_that_still_forgets_what_counts_is_not_trained() -> None:
    def remembering(decades: float) -> Measurement:
        profile = TimeProfile(node="cells", direction="forward", gradient_log10=(0.0,), memory_decades=decades)
        return measurement(recurrent=True, through_time=(profile,))

    trials = [trial("forgets", remembering(-6.0)), trial("remembers", remembering(-4.0))]
    assert [each.info.id for each in shortlist(Verdict.UNHEALTHY, trials)] == ["remembers"]


def test_a_healthy_network_gets_no_shortlist() -> None:
    assert shortlist(Verdict.HEALTHY, [trial("a", measurement())]) == ()


def test_what_learnt_from_minibatches_comes_first_and_what_did_not_is_no_remedy() -> None:
    asked = {"memorised": False, "learnt": True, "unasked": None}
    trials = [trial(name, measurement(probe=trained(0.2, 0.2))) for name in asked]
    trials = [replace(each, info=replace(each.info, learns=asked[each.info.id])) for each in trials]
    remedies = rank(measurement(), FAILS, trials, [])
    assert [(remedy.variant, remedy.proof.learns) for remedy in remedies] == [("learnt", True), ("unasked", None)]


def test_what_learns_from_minibatches_is_a_remedy_though_it_was_slow_to_learn_a_batch() -> None:
    slow = trial("slow", measurement(probe=trained(0.95)))
    assert rank(measurement(), FAILS, [slow], []) == ()
    (remedy,) = rank(measurement(), FAILS, [replace(slow, info=replace(slow.info, learns=True))], [])
    assert remedy.proof.learns


def test_remedies_are_ranked_by_their_worst_seed() -> None:
    trials = [
        trial("lucky", measurement(probe=trained(0.1, 0.1, 0.6))),
        trial("steady", measurement(probe=trained(0.3, 0.3, 0.3))),
        trial("useless", measurement(probe=trained(0.99, 0.98, 1.0))),
    ]
    remedies = rank(measurement(flow=flow(-5.0)), FAILS, trials, [])
    assert [remedy.variant for remedy in remedies] == ["steady", "lucky"]
    assert [remedy.rank for remedy in remedies] == [1, 2]
    assert remedies[0].proof.worst == 0.3
    assert remedies[1].proof.best_loss_over_chance == 0.1
    assert remedies[0].before.decades_rms == -5.0
    assert remedies[0].proof.unchanged == 1.0


def test_a_remedy_must_beat_the_unchanged_model() -> None:
    unchanged = trained(0.31, 0.31, 0.31)
    assert rank(measurement(), unchanged, [trial("same", measurement(probe=trained(0.3, 0.3, 0.3)))], []) == ()
    assert rank(measurement(), None, [trial("any", measurement(probe=trained(0.1)))], []) == ()


def test_what_both_optimisers_train_comes_before_what_only_adam_does() -> None:
    both = trial("both", measurement(probe=probe(run("sgd", 0.3), run("adam", 0.2))))
    adam = trial("adam", measurement(probe=probe(run("sgd", math.inf), run("adam", 0.001))))
    remedies = rank(measurement(), FAILS, [adam, both], [])
    assert [(remedy.variant, remedy.proof.worst) for remedy in remedies] == [("both", 0.2), ("adam", 0.001)]
    assert score(both) == pytest.approx(0.25)


def test_where_adam_alone_learns_a_remedy_is_judged_by_plain_gradient_descent() -> None:
    before = probe(run("sgd", 1.0), run("adam", 0.001))
    cure = trial("cure", measurement(probe=probe(run("sgd", 0.2), run("adam", 0.01))))
    none = trial("none", measurement(probe=probe(run("sgd", 1.0), run("adam", 0.0001))))
    (remedy,) = rank(measurement(probe=before), before, [cure, none], [])
    assert (remedy.variant, remedy.proof.worst, remedy.proof.unchanged) == ("cure", 0.2, 1.0)
    assert "SGD" in remedy.snippet
    assert rank(measurement(probe=FAILS), before, [cure], []) == ()


def test_a_remedy_that_adds_an_error_is_refused() -> None:
    good = measurement(probe=trained(0.1, 0.1))
    assert rank(measurement(), FAILS, [trial("bad", good, (error("GH201"),))], [error("GH101")]) == ()
    assert len(rank(measurement(), FAILS, [trial("old", good, (error("GH101"),))], [error("GH101")])) == 1


def test_remedies_within_the_spread_of_seeds_are_equivalent() -> None:
    trials = [
        trial("a", measurement(probe=trained(0.2, 0.3))),
        trial("b", measurement(probe=trained(0.35, 0.35))),
        trial("c", measurement(probe=trained(0.6, 0.6))),
    ]
    first, second, _ = rank(measurement(), FAILS, trials, [])
    assert first.equivalent_to == ("b",)
    assert second.equivalent_to == ()


def test_static_evidence_breaks_ties() -> None:
    calm = trial("calm", measurement(probe=trained(0.3)))
    wild = trial("wild", measurement(probe=trained(0.3), flow=flow(-2.5)))
    assert score(calm) < score(wild)


def test_a_destructive_remedy_says_so() -> None:
    (remedy,) = rank(measurement(), FAILS, [trial("he", measurement(probe=trained(0.1)), destructive=True)], [])
    assert remedy.destructive
    assert remedy.changes_function
    assert not remedy.training_only
