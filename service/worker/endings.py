"""The problems a job can end with, as they are stored."""

import signal
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from service.problems import problem, problem_of
from service.worker.protocol import UNTOLD, Broken, Died, NoRoom, Outgrown, Refused

StoredProblem = dict[str, Any]
LOST: Final[StoredProblem] = problem(
    "worker-lost",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the worker vanished during every attempt",
    hint="send it again, with a smaller batch; if it is lost again, tell whoever runs this service",
).model_dump()
HINTS: Final[Mapping[int, str]] = {
    signal.SIGFPE: "an integer was divided by zero, or the least integer by -1",
    signal.SIGKILL: "somebody killed it, or memory ran out: send it again, or a smaller batch",
    signal.SIGXCPU: 'send it with the options {"effort": "quick"}, or with fewer samples',
}
UNREADABLE: Final[StoredProblem] = problem(
    "input-unreadable",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "the uploaded files cannot be read any more",
    hint="send them again; if that does not help, tell whoever runs this service",
).model_dump()
BUG: Final[StoredProblem] = problem(
    "internal-error",
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "an unexpected error ended the analysis; it was logged",
    hint="this is a bug: tell whoever runs this service, with the id of the analysis",
).model_dump()
NO_ROOM: Final[StoredProblem] = problem(
    "disk-full",
    HTTPStatus.INSUFFICIENT_STORAGE,
    "the disk had no room for the results",
    hint="send it again later; whoever runs this service has to make room",
).model_dump()


def failure(
    ending: Refused | Broken | NoRoom | Died | Outgrown, stage: str, before: Mapping[str, Any] | None = None
) -> StoredProblem:
    """Of a child that ended in this stage without a report; `before`: what an earlier one died of."""
    match ending:
        case Refused(error):
            return problem_of(error).model_dump()
        case Broken():
            return BUG
        case NoRoom():
            return NO_ROOM
        case Outgrown(held, allowed):
            told = f"the analysis held {held} bytes of memory in stage {stage!r}, {allowed} are allowed"
            return _out_of_memory(told)
        case Died(_, memory_ran_out=True):
            told = f"the machine ran out of memory, and its kernel ended the analysis in stage {stage!r}"
            return _out_of_memory(_with(before, told))
        case Died(exit_code):
            return _crash(exit_code, stage, before)


def overdue(seconds: float) -> StoredProblem:
    """Of an analysis that took longer than it may."""
    detail = f"the analysis took longer than {seconds:g} s"
    hint = 'send it with the options {"effort": "quick"}, or with fewer samples'
    return problem("job-expired", HTTPStatus.UNPROCESSABLE_ENTITY, detail, hint=hint).model_dump()


def _out_of_memory(detail: str) -> StoredProblem:
    hint = 'send fewer samples; where none are sent, ask for fewer with the options {"batch_size": 1}'
    return problem("out-of-memory", HTTPStatus.UNPROCESSABLE_ENTITY, detail, hint=hint).model_dump()


def _with(before: Mapping[str, Any] | None, detail: str) -> str:
    return detail if before is None else f"{detail}; at the first attempt: {before['detail']}"


def _crash(exit_code: int, stage: str, before: Mapping[str, Any] | None) -> StoredProblem:
    cause = f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"
    if exit_code == UNTOLD:
        cause = "the end of its fork server"
    detail = _with(before, f"the analysis died of {cause} in stage {stage!r}")
    hint = HINTS.get(-exit_code, "it may have run out of memory: send a smaller batch")
    provoked = exit_code < 0  # twice, for it was tried again: sending it once more would be in vain
    status = HTTPStatus.UNPROCESSABLE_ENTITY if provoked else HTTPStatus.INTERNAL_SERVER_ERROR
    return problem("worker-crashed", status, detail, hint=hint).model_dump()
