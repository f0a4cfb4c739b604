"""A job followed, in steps: frames as the service writes them, breaks, and what else may answer."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from service.client.errors import Gone, WaitedTooLong
from service.client.following import MOST_BREAKS, Following
from service.client.steps import Call, Close, Done, Listen, NextLine, Pause, Send, Stream, next_of
from service.jobs.job import State
from service.problems import problem
from service.schemas import JobView, ProgressView

STREAM = {"content-type": "text/event-stream; charset=utf-8"}


def job(state: State = State.RUNNING, fraction: float = 0.0) -> JobView:
    return JobView(
        id="j", state=state, progress=ProgressView(stage="probe", fraction=fraction), created=datetime.now(UTC),
        started=None, finished=None, labels={}, error=None, links={},
    )  # fmt: skip


def frame(name: str, view: JobView) -> str:
    kind = "end" if view.state.is_end else "progress"
    return f"id: {name}\nevent: {kind}\ndata: {view.model_dump_json()}\n\n"


class Service:
    """Carries steps out: each stream is one of these texts, a job is asked for one after the other."""

    def __init__(self, streams: list[str | Exception | httpx.Response], asked: list[JobView] | None = None) -> None:
        self.streams, self.asked = streams, asked or []
        self.last_ids: list[str | None] = []
        self.pauses: list[float] = []
        self.open = 0

    def run(self, call: Call[JobView | None]) -> JobView | None:
        step = next_of(call)
        while not isinstance(step, Done):
            try:
                answer = self.answer(step)
            except httpx.TransportError as error:
                step = next_of(call, error=error)
            else:
                step = next_of(call, answer)
        return step.value

    def answer(self, step: object) -> object:
        match step:
            case Listen(path, how):
                assert path == "/v1/analyses/j/events"
                self.last_ids.append(how["headers"].get("Last-Event-ID"))
                return self.stream(self.streams.pop(0))
            case NextLine(stream):
                return next(stream.lines, None)
            case Close():
                self.open -= 1
            case Pause(seconds):
                self.pauses.append(seconds)
            case Send("GET", "/v1/analyses/j"):
                return httpx.Response(200, content=self.asked.pop(0).model_dump_json())
        return None

    def stream(self, text: str | Exception | httpx.Response) -> Stream:
        if isinstance(text, Exception):
            raise text
        self.open += 1
        if isinstance(text, httpx.Response):
            return Stream(text, iter(()))
        return Stream(httpx.Response(200, headers=STREAM), iter(text.splitlines()))

    def all(self, following: Following) -> list[JobView]:
        jobs = []
        while (told := self.run(following.next())) is not None:
            jobs.append(told)
        return jobs


def test_every_change_is_told_and_comments_are_not() -> None:
    half, end = job(fraction=0.5), job(State.SUCCEEDED, 1.0)
    service = Service(["retry: 2000\n\n" + frame("a", half) + ": still there\n\n" + frame("b", end)])
    following = Following("j")
    assert service.all(following) == [half, end]
    assert service.last_ids == [None]
    assert service.pauses == []
    service.run(following.close())
    assert service.open == 0


@pytest.mark.parametrize("rest", ["", "id: b\nevent: progress\ndata: {", ": still there\n\n"])
def test_after_a_break_the_service_is_told_what_was_heard_last(rest: str) -> None:
    half, end = job(fraction=0.5), job(State.FAILED)
    service = Service([frame("a", half) + rest, frame("b", end)])
    assert service.all(Following("j")) == [half, end]
    assert service.last_ids == [None, "a"]
    assert len(service.pauses) == 1


def test_breaks_that_something_was_heard_between_are_no_reason_to_stop_listening() -> None:
    jobs = [job(fraction=each / 10) for each in range(2 * MOST_BREAKS)] + [job(State.SUCCEEDED)]
    service = Service([frame(str(place), each) for place, each in enumerate(jobs)])
    assert service.all(Following("j")) == jobs


def test_who_cannot_be_heard_is_asked() -> None:
    half, end = job(fraction=0.5), job(State.SUCCEEDED)
    service = Service([httpx.ConnectError("no")] * MOST_BREAKS, [half, half, half, end])
    assert service.all(Following("j")) == [half, end]
    *breaks, first, second = service.pauses
    assert len(breaks) == MOST_BREAKS - 1
    assert (first, second) == pytest.approx((0.1, 0.15))


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, html="<h1>Sign in</h1>"), httpx.Response(404), httpx.Response(503)]
)
def test_what_is_no_stream_is_not_listened_to(answer: httpx.Response) -> None:
    service = Service([answer], [job(State.SUCCEEDED)])
    assert [each.state for each in service.all(Following("j"))] == [State.SUCCEEDED]
    assert service.open == 0
    assert service.pauses == []


def test_an_event_that_is_no_job_is_not_listened_to() -> None:
    service = Service(["id: a\nevent: progress\ndata: {}\n\n"], [job(State.SUCCEEDED)])
    assert len(service.all(Following("j"))) == 1


def test_a_job_that_is_deleted_meanwhile_is_gone() -> None:
    told = problem("deleted", httpx.codes.GONE, "the analysis was deleted").model_dump_json()
    service = Service([frame("a", job()) + f"event: deleted\ndata: {told}\n\n"])
    with pytest.raises(Gone, match="was deleted"):
        service.all(Following("j"))


@pytest.mark.parametrize(("seconds", "listens"), [(30.0, False), (100.0, True)])
def test_near_a_deadline_the_service_is_asked(monkeypatch: pytest.MonkeyPatch, seconds: float, listens: bool) -> None:
    clock = passing(monkeypatch)
    service = Service([": still there\n\n" * 3] if listens else [], [job()] * 500)
    following = Following("j", seconds)

    def slowly(answer: Callable[[object], object]) -> Callable[[object], object]:
        def wait(step: object) -> object:
            clock[0] += step.seconds if isinstance(step, Pause) else 15.0 if isinstance(step, NextLine) else 0.0
            return answer(step)

        return wait

    service.answer = slowly(service.answer)  # type: ignore[method-assign]
    with pytest.raises(WaitedTooLong, match=f"j had not ended in {seconds:g} s") as raised:
        service.all(following)
    assert raised.value.job_id == "j"
    assert clock[0] == pytest.approx(1000.0 + seconds)
    assert bool(service.last_ids) is listens


def passing(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock
