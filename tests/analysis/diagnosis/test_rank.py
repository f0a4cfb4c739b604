import math
from dataclasses import replace

import pytest

from analysis.diagnosis.rank import Trial, rank, score, seed_scores, shortlist
from analysis.facts import Effect, Measurement, NonFinite, Outcome, Probe, TimeProfile
from analysis.report import Severity, Verdict
from tests.analysis.diagnosis.builders import FAILS, flow, measurement, probe, run
from tests.analysis.diagnosis.trials import error, trained, trial


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


def test_what_was_hopeless_beside_another_after_one_seed_comes_behind_it_however_its_optimisers_do() -> None:
    """SGD alone trains the one, with every seed; the other is little under chance with both, and was asked once."""
    by_descent = probe(*(run(name, end, seed) for seed in range(3) for name, end in (("sgd", 0.4), ("adam", 1.6))))
    hardly = probe(*(run(name, 0.88, outcome=Outcome.LEARNT) for name in ("sgd", "adam")))
    trials = [trial("a", measurement(probe=hardly)), trial("b", measurement(probe=by_descent))]
    assert score(trials[0]) < score(trials[1])
    assert [each.variant for each in rank(measurement(), FAILS, trials, [])] == ["b", "a"]


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
    redrawn = [trial("he", measurement(probe=trained(0.1)), destructive=True)]
    (remedy,) = rank(measurement(probe=FAILS), FAILS, redrawn, [])
    assert remedy.destructive
    assert remedy.changes_function
    assert not remedy.training_only


# ------------------------------------------------------------------ what is worth a training


def short(*trials: Trial, verdict: Verdict = Verdict.UNHEALTHY) -> list[str]:
    return [each.info.id for each in shortlist(verdict, trials)]


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.HEALTHY])
def test_every_network_that_is_not_healthy_gets_a_shortlist(verdict: Verdict) -> None:
    assert short(trial("a", measurement()), verdict=verdict) == ["a"]


def test_what_is_no_number_and_what_is_only_a_gradient_step_is_not_trained() -> None:
    broken = trial("broken", measurement(non_finite=NonFinite(stage="loss", node="", value="")))
    step = trial("clip", measurement())
    step = replace(step, info=replace(step.info, effect=Effect.TRAINING_ONLY))
    assert short(broken, step, trial("he", measurement())) == ["he"]


def test_five_decades_of_memory_are_too_many_to_lose_and_a_little_less_is_not() -> None:
    def remembering(name: str, decades: float) -> Trial:
        profile = TimeProfile(node="cells", direction="forward", gradient_log10=(0.0,), memory_decades=decades)
        return trial(name, measurement(through_time=(profile,)))

    assert short(remembering("on", -5.0), remembering("above", -4.9), remembering("below", -5.1)) == ["above"]


def test_those_that_look_alike_come_by_their_ids() -> None:
    assert short(trial("b", measurement()), trial("c", measurement()), trial("a", measurement())) == ["a", "b", "c"]


@pytest.mark.parametrize(("recurrent", "expected"), [(True, "he+clip"), (False, "he")])
def test_of_a_variant_with_a_step_and_without_the_clipped_one_is_trained_where_something_recurs(
    *, recurrent: bool, expected: str
) -> None:
    patient = measurement(recurrent=recurrent)
    pair = [trial("he", patient), trial("he+clip", patient)]
    assert short(*pair) == short(*reversed(pair)) == [expected]


def test_of_a_variant_with_a_step_and_without_the_more_promising_one_is_trained_before_all() -> None:
    plain, clipped = measurement(flow=flow(-1.2), recurrent=True), measurement(flow=flow(-1.6), recurrent=True)
    assert short(trial("he+clip", clipped), trial("he", plain)) == ["he"]


# ------------------------------------------------------------------ what is proven


def proven(*ends: float, unchanged: Probe = FAILS, outcome: Outcome | None = None) -> bool:
    runs = (run("sgd", end, seed, outcome) for seed, end in enumerate(ends))
    return bool(rank(measurement(), unchanged, [trial("a", measurement(probe=probe(*runs)))], []))


@pytest.mark.parametrize(
    ("unchanged", "end", "expected"),
    [
        (1.0, 0.89, True),
        (1.0, 0.9, False),  # on the limit
        (0.5, 0.44, True),
        (0.5, 0.45, False),
        (3.0, 0.89, True),
        (3.0, 0.95, False),  # who ends over chance is no measure: a remedy has to beat the constant prediction
        (math.inf, 0.95, False),
        (math.inf, 0.89, True),
    ],
)
def test_a_remedy_ends_a_tenth_under_the_unchanged_model_and_under_chance(
    unchanged: float, end: float, *, expected: bool
) -> None:
    assert proven(end, unchanged=probe(run("sgd", unchanged)), outcome=Outcome.LEARNT) is expected


def test_every_seed_has_to_end_low_and_to_have_learnt() -> None:
    assert proven(0.3, 0.3)
    assert not proven(0.3, 0.95, outcome=Outcome.LEARNT)
    assert not proven(0.3, 0.75)  # low enough, but one seed did not learn
    assert not proven(0.75, 0.3)


def test_a_seed_has_learnt_where_one_of_its_runs_did() -> None:
    patient = measurement(probe=probe(run("sgd", 1.0), run("adam", 0.3), run("sgd", 0.3, 1), run("adam", 1.0, 1)))
    assert len(rank(measurement(), FAILS, [trial("a", patient)], [])) == 1


def test_what_was_not_trained_is_no_remedy() -> None:
    adam_only = probe(run("sgd", 1.0), run("adam", 0.001))
    assert rank(measurement(), FAILS, [trial("a", measurement())], []) == ()
    assert rank(measurement(probe=adam_only), adam_only, [trial("a", measurement())], []) == ()


def test_only_an_error_that_was_no_error_before_refuses_a_remedy() -> None:
    good, milder = measurement(probe=trained(0.1)), error("GH201").model_copy(update={"severity": Severity.WARNING})
    assert len(rank(measurement(), FAILS, [trial("a", good, (milder,))], [])) == 1
    assert rank(measurement(), FAILS, [trial("a", good, (error("GH201"),))], [milder]) == ()
    assert rank(measurement(), FAILS, [trial("a", good, (error("GH101"), error("GH201")))], [error("GH101")]) == ()


# ------------------------------------------------------------------ in which order


def order(*trials: Trial) -> list[str]:
    return [remedy.variant for remedy in rank(measurement(), FAILS, trials, [])]


def test_a_worse_loss_that_was_learnt_from_minibatches_comes_before_a_better_one_that_was_not() -> None:
    asked = trial("asked", measurement(probe=trained(0.6)))
    asked = replace(asked, info=replace(asked.info, learns=True))
    assert order(trial("best", measurement(probe=trained(0.1))), asked) == ["asked", "best"]


def test_of_equal_scores_the_fewer_changes_come_first_and_then_the_id() -> None:
    same = measurement(probe=trained(0.3))
    assert order(trial("a+b+c", same), trial("y", same), trial("b+c", same), trial("x", same)) == [
        "x", "y", "b+c", "a+b+c",
    ]  # fmt: skip


def changed(name: str, end: float, **facts: object) -> Trial:
    made = trial(name, measurement(probe=trained(end, end)))
    return replace(made, info=replace(made.info, **facts))  # type: ignore[arg-type]


@pytest.mark.parametrize("collapse", [-math.inf, math.nan])
def test_what_cannot_be_measured_of_remedies_is_no_end_to_their_order(collapse: float) -> None:
    ill = flow(-0.25, collapse_decades=collapse)
    two = [trial(name, measurement(flow=ill, probe=trained(0.2, 0.25))) for name in ("he", "xavier")]
    assert sorted(remedy.variant for remedy in rank(measurement(probe=FAILS), FAILS, two, ())) == ["he", "xavier"]
    assert all(math.isfinite(score(each)) for each in two)


def test_of_those_that_are_as_good_the_smallest_change_comes_first() -> None:
    assert order(changed("all", 0.10, redrawn=9), changed("few", 0.11, redrawn=2)) == ["few", "all"]
    assert order(changed("a+b", 0.10), changed("c", 0.119)) == ["c", "a+b"]
    kept = changed("x+y", 0.11, redrawn=5, effect=Effect.PRESERVES_OUTPUT)
    assert order(changed("z", 0.10), kept) == ["x+y", "z"]
    assert order(changed("a+b", 0.10), changed("c", 0.13)) == ["a+b", "c"]


def test_what_is_as_good_is_within_the_spread_of_seeds_and_a_twentieth_at_most() -> None:
    wide = trial("a+b", measurement(probe=trained(0.1, 0.5)))
    assert order(wide, trial("c", measurement(probe=trained(0.54, 0.54)))) == ["c", "a+b"]
    assert order(wide, trial("c", measurement(probe=trained(0.56, 0.56)))) == ["a+b", "c"]


def test_what_redraws_trained_weights_comes_last_and_only_where_descent_fails_at_every_rate() -> None:
    lost, kept = changed("a", 0.01, destructive=True), changed("b", 0.6)

    def variants(**unchanged: object) -> list[str]:
        return [each.variant for each in rank(measurement(**unchanged), FAILS, [lost, kept], [])]

    assert variants(probe=FAILS) == ["b", "a"]
    assert variants(probe=replace(FAILS, unfinished=True)) == ["b"]
    assert variants(probe=probe(run("sgd", 0.3), run("adam", 1.0))) == ["b"]
    assert variants() == ["b"]


def test_the_proof_tells_the_loss_in_eval_mode_of_the_run_that_ended_lowest_in_the_worst_seed() -> None:
    runs = [
        replace(run("sgd", end, seed), evaluated=said)
        for end, seed, said in ((0.1, 0, 0.3), (0.2, 0, 9.0), (0.2, 1, 0.5), (0.1, 1, 0.4))
    ]
    (remedy,) = rank(measurement(), FAILS, [trial("batch_norm", measurement(probe=probe(*runs)))], [])
    assert remedy.proof.evaluated == 0.4
    assert order(trial("x", measurement(probe=trained(0.2)))) == ["x"]
    assert rank(measurement(), FAILS, [trial("x", measurement(probe=trained(0.2)))], [])[0].proof.evaluated is None


def test_the_score_is_the_worst_seed_over_optimisers_plus_a_little_static_evidence() -> None:
    """Of each seed the mean over optimisers of the best that each comes to, none counting for more than 2."""
    runs = (
        run("sgd", 0.9), run("sgd", 0.5), run("adam", 0.3),  # (0.5 + 0.3) / 2
        run("sgd", 7.0, 1), run("sgd", math.inf, 1), run("adam", 0.2, 1),  # (2 + 0.2) / 2
    )  # fmt: skip
    assert score(trial("a", measurement(probe=probe(*runs)))) == pytest.approx(1.1)
    assert score(trial("a", measurement(probe=probe(*runs[:3])))) == pytest.approx(0.4)
    assert score(trial("a", measurement(probe=probe(runs[1], runs[0], runs[2])))) == pytest.approx(0.4)
    stained = measurement(probe=probe(*runs[:3]), flow=flow(-3.0))  # two decades beyond one
    assert score(trial("a", stained)) == pytest.approx(0.4 + 0.15 * 2.0)
    assert score(trial("a", measurement(probe=trained(3.0)))) == pytest.approx(2.0)


def test_a_remedy_tells_the_score_that_its_rank_follows() -> None:
    tried = [trial("a", measurement(probe=trained(0.4))), trial("b", measurement(probe=trained(0.2)))]
    remedies = rank(measurement(probe=FAILS), FAILS, tried, ())
    assert [(remedy.variant, remedy.score) for remedy in remedies] == [
        ("b", pytest.approx(0.2)), ("a", pytest.approx(0.4)),
    ]  # fmt: skip


def test_seeds_are_told_by_the_best_of_their_runs() -> None:
    several = probe(run("sgd", 0.9), run("adam", 0.3), run("sgd", 0.5, 1), run("adam", 0.7, 1), run("sgd", 0.6, 2))
    assert seed_scores(several) == {0: 0.3, 1: 0.5, 2: 0.6}


# ------------------------------------------------------------------ what is said of a remedy


def equivalents(**ends: tuple[float, ...]) -> dict[str, tuple[str, ...]]:
    trials = [trial(name, measurement(probe=trained(*each))) for name, each in ends.items()]
    return {remedy.variant: remedy.equivalent_to for remedy in rank(measurement(), FAILS, trials, [])}


def test_scores_closer_than_a_fiftieth_are_equal_however_well_the_seeds_agree() -> None:
    assert equivalents(a=(0.3, 0.3), b=(0.319, 0.319)) == {"a": ("b",), "b": ("a",)}
    assert equivalents(a=(0.3, 0.3), b=(0.321, 0.321)) == {"a": (), "b": ()}


def test_the_spread_is_that_of_its_own_seeds_and_reaches_as_far_as_it_is_wide() -> None:
    assert equivalents(a=(0.125, 0.25), b=(0.375, 0.375)) == {"a": ("b",), "b": ()}
    assert equivalents(a=(0.125, 0.25), b=(0.385, 0.385)) == {"a": (), "b": ()}
    assert equivalents(a=(0.375, 0.375), b=(0.25, 0.5)) == {"a": (), "b": ("a",)}  # in either direction


def test_the_proof_tells_best_and_worst_seed_and_that_of_the_unchanged_model() -> None:
    unchanged = probe(run("sgd", 0.9), run("adam", 0.8), run("sgd", 1.2, 1))
    patient = measurement(probe=trained(0.3, 0.1, 0.2), flow=flow(-1.0, -1.25))
    (remedy,) = rank(measurement(flow=flow(-5.0, -4.0)), unchanged, [trial("a", patient)], [])
    assert (remedy.proof.best_loss_over_chance, remedy.proof.worst, remedy.proof.unchanged) == (0.1, 0.3, 1.2)
    assert (remedy.proof.seeds, remedy.proof.learns, remedy.proof.kind) == (3, None, "probe")
    assert (remedy.before.decades_rms, remedy.before.decades_norm) == (-5.0, -4.0)
    assert (remedy.after.decades_rms, remedy.after.decades_norm) == (-1.0, -1.25)


def test_under_plain_gradient_descent_the_worst_seed_of_it_counts() -> None:
    before = probe(run("sgd", 0.8), run("adam", 0.01), run("sgd", 0.9, 1), run("adam", 0.02, 1))
    cure = probe(run("sgd", 0.2), run("adam", 0.001), run("sgd", 0.4, 1), run("adam", 0.9, 1))
    (remedy,) = rank(measurement(probe=before), before, [trial("a", measurement(probe=cure))], [])
    assert (remedy.proof.unchanged, remedy.proof.best_loss_over_chance, remedy.proof.worst) == (0.9, 0.2, 0.4)


def test_what_learnt_on_samples_held_out_has_learnt_from_minibatches() -> None:
    kept = replace(trained(0.2), held_out=64)
    (remedy,) = rank(measurement(), FAILS, [trial("a", measurement(probe=kept))], [])
    assert remedy.proof.learns is True
    proof, *_ = (remedy.snippet or "").splitlines()
    assert proof == "# proven by 50 steps on minibatches, on samples held out, worst of 1 seeds: loss 0.20 of chance"


def test_the_snippet_keeps_the_momentum_of_the_training() -> None:
    moving = probe(replace(run("sgd", 0.2), momentum=0.9))
    (remedy,) = rank(measurement(), FAILS, [trial("a", measurement(probe=moving))], [])
    assert "torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)" in (remedy.snippet or "")


@pytest.mark.parametrize(
    ("effect", "function", "training"),
    [
        (Effect.PRESERVES_OUTPUT, False, False), (Effect.CHANGES_FUNCTION, True, False),
        (Effect.TRAINING_ONLY, False, True),
    ],
)  # fmt: skip
def test_a_remedy_says_what_it_changes(effect: Effect, *, function: bool, training: bool) -> None:
    cure = trial("a", measurement(probe=trained(0.2)))
    (remedy,) = rank(measurement(), FAILS, [replace(cure, info=replace(cure.info, effect=effect))], [])
    assert (remedy.changes_function, remedy.training_only, remedy.destructive) == (function, training, False)


def test_the_snippet_is_the_training_whose_worst_seed_ended_lowest() -> None:
    """Not the one with the luckiest seed."""
    slow = [replace(run("sgd", end, seed), learning_rate=0.01) for seed, end in enumerate((0.3, 0.35))]
    fast = [replace(run("sgd", end, seed), learning_rate=0.1) for seed, end in enumerate((0.1, 0.6))]
    adam = [replace(run("adam", end, seed), learning_rate=0.01) for seed, end in enumerate((0.2, 0.5))]
    (remedy,) = rank(measurement(), FAILS, [trial("a", measurement(probe=probe(*fast, *slow, *adam)))], [])
    proof, optimizer, *_ = (remedy.snippet or "").splitlines()
    assert proof == "# proven by 50 steps on one batch, worst of 2 seeds: loss 0.35 of chance"
    assert optimizer == "optimizer = torch.optim.SGD(model.parameters(), lr=0.01)"


def test_the_snippet_is_a_training_that_ran_with_every_seed() -> None:
    """Not one whose first seed alone was run, and came lower."""
    every = [replace(run("sgd", end, seed), learning_rate=0.1) for seed, end in enumerate((0.2, 0.4))]
    once = [replace(run("sgd", 0.3), learning_rate=0.01)]
    (remedy,) = rank(measurement(), FAILS, [trial("a", measurement(probe=probe(*every, *once)))], [])
    proof, optimizer, *_ = (remedy.snippet or "").splitlines()
    assert proof == "# proven by 50 steps on one batch, worst of 2 seeds: loss 0.40 of chance"
    assert optimizer == "optimizer = torch.optim.SGD(model.parameters(), lr=0.1)"
