"""The problems a job can end with."""

import pytest

from service.problems import Problem, problem_of
from service.worker.endings import BUG, LOST, StoredProblem, failure, overdue
from service.worker.protocol import UNTOLD, Broken, Died, Outgrown, Refused
from tests.service.worker.scripted_child import REFUSAL


@pytest.mark.parametrize(
    ("exit_code", "cause"),
    [(-9, "signal SIGKILL"), (-11, "signal SIGSEGV"), (-24, "signal SIGXCPU"), (3, "exit code 3")],
)
def test_a_death_names_its_cause_and_the_stage(exit_code: int, cause: str) -> None:
    told = failure(Died(exit_code), "probe")
    assert (told["code"], told["status"]) == ("worker-crashed", 422 if exit_code < 0 else 500)
    assert told["detail"] == f"the analysis died of {cause} in stage 'probe'"


def test_who_dies_twice_is_told_of_both() -> None:
    first = failure(Died(-11), "probe")
    told = failure(Died(-8), "measure", before=first)["detail"]
    assert told == "the analysis died of signal SIGFPE in stage 'measure'; at the first attempt: " + first["detail"]


@pytest.mark.parametrize(
    ("exit_code", "again"), [(-11, True), (-9, True), (-8, True), (-24, False), (0, False), (3, False)]
)
def test_only_death_by_a_signal_may_be_chance(exit_code: int, again: bool) -> None:
    assert Died(exit_code).may_live_again is again
    assert not Died(exit_code).was_lost


def test_who_goes_down_with_the_fork_server_is_lost_and_did_not_crash() -> None:
    assert Died(UNTOLD).was_lost
    assert failure(Died(UNTOLD), "probe")["detail"] == (
        "the analysis died of the end of its fork server in stage 'probe'"
    )


def test_who_held_too_much_is_told_how_much() -> None:
    told = failure(Outgrown(held_bytes=3 << 30, allowed_bytes=2 << 30), "probe")
    assert (told["code"], told["status"]) == ("out-of-memory", 422)
    assert told["detail"] == "the analysis held 3221225472 bytes of memory in stage 'probe', 2147483648 are allowed"


def test_a_machine_without_memory_is_told_of_apart_from_other_deaths() -> None:
    first = failure(Died(-11), "model")
    told = failure(Died(-9, memory_ran_out=True), "probe", before=first)
    assert (told["code"], told["status"]) == ("out-of-memory", 422)
    assert "the machine ran out of memory" in told["detail"]
    assert told["detail"].endswith(first["detail"])


def test_a_refusal_is_told_in_the_words_of_the_library() -> None:
    assert failure(Refused(REFUSAL), "model") == problem_of(REFUSAL).model_dump()


def test_a_bug_is_not_shown_to_clients() -> None:
    assert failure(Broken("ZeroDivisionError"), "probe") == BUG
    assert "ZeroDivisionError" not in str(BUG)


def test_what_took_too_long_is_told_how_long_that_is() -> None:
    assert (overdue(1.5)["code"], overdue(1.5)["status"]) == ("job-expired", 422)
    assert "1.5 s" in overdue(1.5)["detail"]


@pytest.mark.parametrize("stored", [LOST, BUG, overdue(900.0), failure(Died(-9), "probe")])
def test_what_is_stored_is_a_problem_that_can_be_answered(stored: StoredProblem) -> None:
    assert Problem.model_validate(stored).model_dump() == stored


@pytest.mark.parametrize("stored", [LOST, overdue(900.0), failure(Died(-9), "probe")])
def test_who_can_do_something_is_told_what(stored: StoredProblem) -> None:
    assert stored["hint"]
