"""Asking in a process of its own, which may not be left as it was."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


def in_child(what: Callable[..., Any], *arguments: Any) -> Any:
    """What it answers in a fresh process."""
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, what, arguments))
    process.start()
    sender.close()
    answered = receiver.recv()
    process.join()
    return answered


def _answer(pipe: Connection, what: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(what(*arguments))


def outcome(attempt: Callable[[], object]) -> str:
    """How an attempt at something that may be denied ended."""
    try:
        attempt()
    except OSError as error:
        return type(error).__name__
    return "done"
