"""How a child gets from the supervisor, which is light, to the library, which is not."""

from multiprocessing.connection import Connection

from service.worker.channel import Sender
from service.worker.protocol import Assignment, Reached


def run_child(assignment: Assignment | None, pipe: Connection) -> None:
    """First function of a child: the work, or with no assignment a sign of life."""
    from service.worker import child  # noqa: PLC0415 - loaded already in the fork server, never in the supervisor

    sender = Sender(pipe)
    if assignment is None:
        sender.send(Reached("ready", 1.0))
    else:
        child.run(assignment, sender)
