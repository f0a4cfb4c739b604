"""A line of a diff of code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the diff."""

    sign: str
    """A plus, a minus, or a blank."""
    text: str
