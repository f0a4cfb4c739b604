"""Children that follow scripts: started, listened to, ended; no job and no table is needed."""

import multiprocessing.forkserver
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.worker import children as module
from service.worker.children import (
    MOST_STAGES,
    WARM_UPS,
    Child,
    ForkServer,
    ForkServerGoneError,
    end,
    listen,
    wait_for_news,
)
from service.worker.protocol import UNTOLD, Assignment, Broken, Died, Done, Ending, OpenFile, Outgrown, Reached, Refused
from service.worker.sandbox import Confinement
from tests.service.worker.bench import SECONDS, lives, wait_until
from tests.service.worker.scripted_child import GO

Start = Callable[[str], Child]


@pytest.fixture
def start(scripted_children: None, tmp_path: Path) -> Iterator[Start]:
    """Starts a child with a script; all have ended afterwards."""
    fork_server, started = ForkServer(), []

    def start_one(script: str) -> Child:
        limits = Confinement(tmp_path / f"{len(started)}", 4 << 30, 1000, 1 << 20)
        with (tmp_path / "model").open("w+") as file:
            model = OpenFile(file.fileno())
            started.append(fork_server.start(Assignment(model, "model.onnx", None, {}, script, 0, 1, limits)))
        return started[-1]

    yield start_one
    for child in started:
        if child.process.is_alive():
            end(child)


def ending_of(child: Child) -> Ending:
    """What it ends with."""
    heard: list[Ending] = []

    def ended() -> bool:
        wait_for_news([child], 0.1)
        heard.extend(filter(None, [listen(child)]))
        return bool(heard)

    wait_until(ended)
    return heard[0]


def test_a_child_starts_in_a_folder_of_its_own_and_its_stage_is_noted(start: Start) -> None:
    child = start("report_when_told")
    assert child.reached == Reached("starting", 0.0)
    assert child.folder.is_dir()
    wait_until(lambda: listen(child) is None and child.reached == Reached("probe", 0.25))
    (child.folder / GO).touch()
    done = ending_of(child)
    assert done == Done()
    end(child)
    assert not lives(child.process.pid)
    assert not child.folder.exists()


def test_stages_are_kept_in_their_order_and_not_without_end(start: Start) -> None:
    child = start("many_stages")
    assert ending_of(child) == Done()
    assert [reached.stage for reached in child.stages[:3]] == ["probe", "stage 0", "stage 1"]
    assert [reached.at for reached in child.stages[1:3]] == [1000.0, 1001.0], "of what is said twice the first"
    assert len(child.stages) == MOST_STAGES


@pytest.mark.parametrize(
    ("script", "ending"),
    [
        ("hit_a_bug", Broken("ZeroDivisionError")),
        ("SIGKILL", Died(-9)),
        ("exit_silently", Died(3)),
        ("die_in_mid_message", Died(-9)),
    ],
)
def test_every_end_is_heard(start: Start, script: str, ending: Ending) -> None:
    child = start(script)
    assert ending_of(child) == ending
    assert child.reached == Reached("probe", 0.25)


def test_a_refusal_arrives_with_its_parts(start: Start) -> None:
    refused = ending_of(start("refuse"))
    assert isinstance(refused, Refused)
    assert (refused.error.where, refused.error.hint) == ("node 'det'", "simplify the graph")


def test_the_first_end_counts_and_what_follows_is_not_heard(start: Start) -> None:
    assert isinstance(ending_of(start("report_and_go_on")), Done)


@pytest.mark.parametrize("script", ["hang", "hang_for_good"])
def test_a_child_that_does_not_leave_is_made_to(start: Start, script: str) -> None:
    child, stage = start(script), "deaf" if script == "hang_for_good" else "probe"
    wait_until(lambda: listen(child) is None and child.reached.stage == stage)
    end(child)
    assert not lives(child.process.pid)


def test_a_child_that_holds_more_than_it_may_is_told_apart(start: Start) -> None:
    """Memory that it shares with nobody but itself is in no limit of the kernel's."""
    child = start("hold_shared_memory")
    child.memory_bytes = 256 << 20
    ending = ending_of(child)
    assert isinstance(ending, Outgrown)
    assert ending.held_bytes > ending.allowed_bytes == 256 << 20


def test_a_fork_server_that_was_killed_takes_its_children_along_and_another_takes_its_place(
    scripted_children: None, tmp_path: Path
) -> None:
    fork_server = ForkServer()
    limits = Confinement(tmp_path / "first", 4 << 30, 1000, 1 << 20)
    with (tmp_path / "model").open("w+") as file:
        assignment = Assignment(OpenFile(file.fileno()), "model.onnx", None, {}, "hang", 0, 1, limits)
        first = fork_server.start(assignment)
        wait_until(lambda: listen(first) is None and first.reached.stage == "probe")
        os.kill(multiprocessing.forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
        assert ending_of(first) == Died(UNTOLD)
        wait_until(lambda: not lives(first.process.pid))
        end(first)
        second = fork_server.start(replace(assignment, confinement=replace(limits, folder=tmp_path / "second")))
        wait_until(lambda: listen(second) is None and second.reached.stage == "probe")
        end(second)


def test_nobody_waits_longer_for_news_than_told(start: Start) -> None:
    child = start("hang")
    wait_until(lambda: listen(child) is None and child.reached.stage == "probe")
    wait_for_news([child], 0.01)
    assert listen(child) is None


def test_a_fork_server_is_warm_once_a_child_has_given_a_sign_of_life(scripted_children: None) -> None:
    ForkServer().warm_up()


@pytest.mark.parametrize("kills", [1, WARM_UPS - 1, WARM_UPS])
def test_a_fork_server_that_is_killed_while_it_starts_is_started_again_and_not_for_ever(
    kills: int, scripted_children: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, failures = ForkServer._run, [BrokenPipeError("gone"), EOFError("gone")] * WARM_UPS
    left = failures[:kills]

    def run(server: ForkServer, assignment: Assignment | None) -> Any:
        if left:
            raise left.pop()
        return start(server, assignment)

    monkeypatch.setattr(ForkServer, "_run", run)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    with pytest.raises(ForkServerGoneError, match="gone") if kills == WARM_UPS else nullcontext():
        ForkServer().warm_up()
    assert left == []


def test_children_are_told_of_in_time(start: Start) -> None:
    child = start("report")
    wait_for_news([child], SECONDS)
    assert child.channel.receive() != []


def test_something_else_that_can_be_read_is_news_also_without_children() -> None:
    heard, said = os.pipe()
    started = time.monotonic()
    os.write(said, b".")
    wait_for_news([], SECONDS, [heard])
    assert time.monotonic() - started < SECONDS / 2
    os.close(heard)
    os.close(said)
