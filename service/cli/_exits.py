"""What a pipeline sees of a command that has ended."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The same for all commands."""

    PASSED = 0
    """Healthy, no regression."""
    FAILED = 1
    """Findings at or over the gate, a regression."""
    BAD_INPUT = 2
    """The click library's own code for wrong usage, too."""
    SERVICE_ERROR = 3
    BUG = 4
    """An exception that nobody expected: neither the files nor the service are at fault."""
    INTERRUPTED = 130
    """Ctrl-C, as a shell says it: 128 and the number of the signal."""
