import math
from dataclasses import replace

import pytest

from analysis.diagnosis.advise import advise
from analysis.facts import LargerRate, NormalizationTrial, Outcome, OutputFacts, ProbeKind, SampleGradients
from analysis.report.parts import AdviceKind
from tests.analysis.diagnosis.builders import FAILS, LEARNS, measurement, probe, run

SGD_FAILS = probe(run("sgd", 1.0), run("adam", 0.2))


def kinds(*advised: object) -> list[AdviceKind]:
    return [card.kind for card in advise(*advised)]  # type: ignore[arg-type]


@pytest.mark.parametrize("proof", [None, LEARNS, FAILS])
def test_adam_is_no_advice_where_sgd_learns_or_adam_does_not(proof: object) -> None:
    assert AdviceKind.ADAM not in kinds(measurement(probe=proof), None, 0.01)


def test_adam_comes_first_with_both_losses_and_the_lines_to_use() -> None:
    card = advise(measurement(probe=SGD_FAILS), None, 0.01)[0]
    assert card.kind is AdviceKind.ADAM
    assert card.values == {"loss_over_chance": 0.2, "unchanged": 1.0, "learning_rate": 0.1}
    assert "torch.optim.Adam(" in (card.snippet or "")
    assert "0.20 of chance, with SGD to 1.00" in card.words


def test_the_best_training_with_each_optimiser_is_told_and_what_it_was_made_of() -> None:
    runs = (run("sgd", 1.0), run("adam", 0.5), replace(run("adam", 0.2, 0), learning_rate=0.01), run("sgd", 0.9))
    (card, _) = advise(measurement(probe=probe(*runs, kind=ProbeKind.MEMORIZING)), None, 0.01)
    assert card.values == {"loss_over_chance": 0.2, "unchanged": 0.9, "learning_rate": 0.01}
    assert card.words == (
        "Adam learns where SGD does not: try it before changing the network. In 1 step on one batch the loss fell to "
        "0.20 of chance, with SGD to 0.90."
    )
    proof, optimizer, *_ = (card.snippet or "").splitlines()
    assert proof == "# proven by 1 step on one batch, seed 0: loss 0.20 of chance"
    assert optimizer == "optimizer = torch.optim.Adam(model.parameters(), lr=0.01)"


def test_the_lines_for_a_larger_rate_keep_the_momentum_of_the_training() -> None:
    moving = replace(larger(), clipped=replace(larger().clipped, momentum=0.9))
    (card, _) = advise(measurement(probe=LEARNS), moving, 0.01)
    proof, optimizer, *_ = (card.snippet or "").splitlines()
    assert proof == "# proven by 1 step on minibatches, seed 0: loss 0.30 of chance"
    assert optimizer == "optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)"


def larger() -> LargerRate:
    without = replace(run("sgd", math.inf), outcome=Outcome.DIVERGED, learning_rate=0.1)
    return LargerRate(without=without, clipped=replace(run("sgd", 0.3), learning_rate=0.1), max_norm=0.1)


def test_a_larger_rate_names_the_threshold_and_what_happens_without() -> None:
    (card, _) = advise(measurement(probe=LEARNS), larger(), 0.01)
    assert card.kind is AdviceKind.LARGER_LEARNING_RATE
    assert card.values == {
        "loss_over_chance": 0.3, "unchanged": math.inf, "learning_rate": 0.1, "max_norm": 0.1, "gradient_norm": 1.0,
    }  # fmt: skip
    assert card.words == (
        "Clipping the gradient to norm 0.1 permits a learning rate of 0.1: in 1 step on minibatches the loss fell to "
        "0.30 of chance, without clipping it diverged."
    )
    assert "clip_grad_norm_(model.parameters(), max_norm=0.1)" in (card.snippet or "")
    assert "lr=0.1" in (card.snippet or "")


def test_the_usual_gradient_of_a_sample_is_said_where_it_was_measured() -> None:
    samples = SampleGradients(
        samples=8, method="loop", least_norm=0.1, median_norm=0.5, largest_norm=2.0, coherence=0.2
    )
    (card, _) = advise(measurement(probe=LEARNS, sample_gradients=samples), larger(), 0.01)
    assert card.values["median_sample_norm"] == 0.5
    assert card.words.endswith("without clipping it diverged. The median gradient of a sample has norm 0.5.")


def test_decay_says_what_it_adds_and_that_it_cures_nothing() -> None:
    patient = replace(measurement(), total_gradient_norm=3.0, total_weight_norm=40.0, gradient_dot_weight=0.0)
    (card,) = advise(patient, None, 0.1)
    assert card.kind is AdviceKind.WEIGHT_DECAY
    assert card.values == {
        "pull_over_gradient": pytest.approx(4.0 / 3.0), "gradient_norm": 3.0,
        "gradient_norm_after": pytest.approx(5.0),  # 3-4-5
    }  # fmt: skip
    assert "cures no vanishing" in card.words
    assert card.snippet is None


@pytest.mark.parametrize(
    "changed", [{"total_gradient_norm": 0.0}, {"total_gradient_norm": math.nan}, {"total_weight_norm": 0.0}]
)
def test_decay_is_silent_where_there_is_nothing_to_compare(changed: dict[str, float]) -> None:
    assert advise(replace(measurement(), **changed), None, 0.1) == ()
    assert advise(measurement(), None, 0.0) == ()


# ------------------------------------------------------------------ the user's own rate


@pytest.mark.parametrize(
    ("outcome", "happened"), [(Outcome.DIVERGED, "diverged"), (Outcome.STALLED, "stalled"), (Outcome.SLOW, "is slow")]
)
def test_a_rate_that_learns_is_told_beside_the_own_one_that_does_not(outcome: Outcome, happened: str) -> None:
    own = replace(run("sgd", 3.0, outcome=outcome), learning_rate=1.5, own=True)
    slower = replace(run("sgd", 0.5), learning_rate=0.01)
    card = advise(measurement(probe=probe(own, run("adam", 0.1), slower)), None, 0.0)[0]
    assert card.kind is AdviceKind.LEARNING_RATE
    assert card.words == (
        f"SGD at 1.5, as you train, {happened} (3.00 of chance after 1 step on minibatches). SGD at 0.01 learns: in 1 "
        "step on minibatches the loss fell to 0.50 of chance."
    )
    assert card.values == {
        "loss_over_chance": 0.5, "unchanged": 3.0, "learning_rate": 0.01, "own_learning_rate": 1.5,
    }  # fmt: skip
    assert "torch.optim.SGD(model.parameters(), lr=0.01" in (card.snippet or "")


def test_nothing_is_advised_to_who_trains_well_or_where_nothing_learns() -> None:
    own = replace(run("adam", 0.2), own=True)
    assert kinds(measurement(probe=probe(run("sgd", 1.0), own)), None, 0.0) == []
    stuck = replace(run("adam", 1.0), own=True)
    assert kinds(measurement(probe=probe(run("sgd", 1.0), stuck)), None, 0.0) == []


def test_another_optimiser_is_named_where_the_own_one_learns_at_no_rate() -> None:
    own = replace(run("sgd", 1.0), own=True)
    (card,) = advise(measurement(probe=probe(own, run("adam", 0.1))), None, 0.0)
    assert card.kind is AdviceKind.LEARNING_RATE
    assert "Adam at 0.1 learns" in card.words


def test_standardised_inputs_are_advised_with_both_ends_before_another_rate() -> None:
    own = replace(run("sgd", 9.0), own=True)
    other = replace(run("sgd", 0.3), learning_rate=0.001)
    helped = replace(own, curve=(1.0, 0.1), outcome=Outcome.LEARNT)
    card, slower, *_ = advise(measurement(probe=replace(probe(own, other), standardized=helped)), None, 0.01)
    assert (card.kind, slower.kind) == (AdviceKind.STANDARD_INPUTS, AdviceKind.LEARNING_RATE)
    assert card.values == {"loss_over_chance": 0.1, "unchanged": 9.0, "learning_rate": own.learning_rate}
    assert "On standardised inputs SGD at 0.1, as you train, learns: in 1 step on minibatches" in card.words
    assert card.words.endswith("the loss fell to 0.10 of chance, as they are it came to 9.00.")


def test_another_loss_is_advised_where_scores_were_taken_for_logarithms() -> None:
    bare = OutputFacts(reading="", off_logarithms=1.4)
    card, *_ = advise(measurement(outputs=bare, probe=probe(run("sgd", 0.1))), None, 0.01)
    assert (card.kind, card.values["loss_over_chance"]) == (AdviceKind.LOSS, 0.1)
    assert card.words.startswith("CrossEntropyLoss in place of NLLLoss")
    assert card.snippet is not None
    assert "torch.nn.CrossEntropyLoss()" in card.snippet
    assert AdviceKind.LOSS not in kinds(measurement(outputs=bare, probe=probe(run("sgd", 1.0))), None, 0.01)
    assert AdviceKind.LOSS not in kinds(measurement(probe=probe(run("sgd", 0.1))), None, 0.01)


def test_a_warm_up_is_advised_with_both_ends_and_its_schedule() -> None:
    own = replace(run("adam", 1.0), own=True)
    warmed = replace(own, warm_up=100, curve=(1.0, 0.1), outcome=Outcome.LEARNT)
    (card, _) = advise(measurement(probe=replace(probe(own), warmed=warmed)), None, 0.01)
    assert card.kind is AdviceKind.WARM_UP
    assert card.values == {"loss_over_chance": 0.1, "unchanged": 1.0, "learning_rate": 0.1, "warm_up_steps": 100}
    assert "rises over 100 steps the loss fell to 0.10 of chance in 1 step on minibatches, without" in card.words
    assert "LambdaLR" in (card.snippet or "")


@pytest.mark.parametrize(
    ("frozen", "end", "words"),
    [
        (False, 1.0, "Minibatches of 32 train ... with minibatches of 1 to 1.00 in 1 step."),
        (True, 1.0, "Minibatches whose own statistics are used train ... with frozen statistics to 1.00 in 1 step."),
        (True, 0.1, None),
    ],
)
def test_what_lets_batch_normalization_work_is_advised(frozen: bool, end: float, words: str | None) -> None:
    trial = NormalizationTrial(
        frozen=frozen, minibatch=1, usual_minibatch=32, values=1, without=run("sgd", 0.3), run=run("sgd", end)
    )
    cards = advise(measurement(probe=FAILS, normalization=trial), None, 0.01)
    said = [card.words for card in cards if card.kind is AdviceKind.NORMALIZATION]
    learnt = "train the unchanged network: SGD at 0.1 came to 0.30 of chance in 1 step,"
    assert said == ([] if words is None else [words.replace("train ...", learnt)])
