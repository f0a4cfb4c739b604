"""How far a graph comes on made-up inputs."""

import numpy as np
import pytest

from analysis.clock import OutOfTime
from analysis.convert import convert
from analysis.errors import LimitExceeded, NodeFailed
from analysis.synthesis import trial
from analysis.synthesis.trial import Trials
from tests.analysis.graph.graphs import floats, model

CHAIN = model("a = MatMul(x, W) b = Relu(a) y = MatMul(b, V)", "float[N,K] x", W=floats(4, 6), V=floats(6, 2))


def numbers(*shape: int) -> dict[str, np.ndarray]:
    return {"x": np.ones(shape, np.float32)}


def test_a_graph_that_runs_reaches_further_than_one_that_fails_anywhere() -> None:
    late = model("a = MatMul(x, W) b = Relu(a) y = MatMul(b, V)", "float[N,K] x", W=floats(4, 6), V=floats(5, 2))
    ran, early, failed = (
        Trials(convert(each)).run(numbers(3, width)) for each, width in ((CHAIN, 4), (CHAIN, 5), (late, 4))
    )
    assert (ran.ran, early.ran, failed.ran) == (True, False, False)
    assert early.reached == (0,)
    assert early.reached < failed.reached < ran.reached
    assert isinstance(failed.error, NodeFailed)


def test_inside_a_body_the_failed_step_of_the_body_counts() -> None:
    """The second node of a branch comes further than the first."""
    reached = []
    for width in (5, 4):
        branches = (
            "then_branch = t () => (float[] u) { r = MatMul(x, W) u = MatMul(r, V) }, "
            "else_branch = e () => (float[] v) { v = Neg(x) }"
        )
        checked = model(
            f"c = Cast<to: int = 9>(k) y = If<{branches}>(c)", "float k, float[N,K] x", W=floats(4, 6), V=floats(5, 2)
        )
        outcome = Trials(convert(checked)).run({"k": np.float32(1), "x": np.ones((2, width), np.float32)})
        reached.append(outcome.reached)
    assert [len(path) for path in reached] == [2, 2]
    assert reached[0] < reached[1]
    assert reached[0][0] == reached[1][0]


def test_the_largest_element_of_what_is_watched_is_kept() -> None:
    checked = model("j = Add(i, c) y = Gather(E, j)", "int64[N] i", E=floats(9, 2), c=np.array(3))
    trials = Trials(convert(checked))
    assert trials.run({"i": np.array([1, 4])}, ["j"]).largest == {"j": 7}
    refused = trials.run({"i": np.array([1, 40])}, ["j"])
    assert refused.largest == {"j": 43}
    assert not refused.ran


def test_what_is_too_large_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "LARGEST_ELEMENTS", 11)
    refused = Trials(convert(CHAIN)).run(numbers(3, 4))
    assert isinstance(refused.error, LimitExceeded)
    assert refused.reached == ()


def test_trials_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_TRIALS", 2)
    trials = Trials(convert(CHAIN))
    seen = [trials.exhausted]
    for _ in range(2):
        trials.run(numbers(3, 4))
        seen.append(trials.exhausted)
    assert seen == [False, False, True]


def test_a_run_fails_where_the_time_of_all_is_over_but_not_the_first_nor_one_that_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", 0.0)
    trials = Trials(convert(CHAIN))
    assert trials.exhausted
    assert trials.run(numbers(3, 4)).ran
    late = trials.run(numbers(3, 4))
    assert (late.ran, late.reached) == (False, ())
    assert isinstance(late.error, NodeFailed)
    assert trials.run(numbers(3, 4), decisive=True).ran


@pytest.mark.parametrize("seconds", [0.0, 30.0])
def test_the_end_of_the_whole_budget_ends_every_run(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", seconds)

    def ended() -> bool:
        raise OutOfTime

    converted = convert(CHAIN)
    converted.interrupt = ended
    with pytest.raises(OutOfTime):
        Trials(converted).run(numbers(3, 4))


def test_a_graph_that_asks_for_too_much_is_not_tried_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS_REFUSED", 0.0)
    trials = Trials(convert(CHAIN))
    trials.run(numbers(3, 5))
    assert not trials.exhausted  # it failed, at no limit
    endless = model(
        "y = Loop<body = b (int64 i, bool go, float[] v) => (bool on, float[] w) { on = Identity(go) w = Mul(v, W) }>"
        "(n, , x)", "float[N,4] x", W=floats(4), n=np.array(10**9),
    )  # fmt: skip
    trials = Trials(convert(endless))
    assert isinstance(trials.run(numbers(1, 4)).error, LimitExceeded)
    assert trials.exhausted
