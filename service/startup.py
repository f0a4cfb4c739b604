"""What keeps a node from starting."""

from collections.abc import Iterator
from contextlib import contextmanager


class CannotStartError(Exception):
    """Something that only an operator can mend; the message says what, and the way out."""


class MissingExtraError(CannotStartError):
    """A setting needs packages that are not installed."""


@contextmanager
def needing_extra(name: str) -> Iterator[None]:
    """An import of what only an extra brings. Raises MissingExtraError."""
    try:
        yield
    except ModuleNotFoundError as error:
        told = f"{error.name} is not installed: pip install 'gradient-health[{name}]'"
        raise MissingExtraError(told) from error
