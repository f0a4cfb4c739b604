"""Whether the service is stopping, and how long what is under way may go on."""

import math
import time


class Drain:
    """Begins once, when the server is told to stop; read from any thread."""

    def __init__(self, seconds: float) -> None:
        """How long requests that are under way may take from then on."""
        self._seconds = seconds
        self._deadline = math.inf

    @property
    def begun(self) -> bool:
        """Whoever waits for something that may take long is answered now."""
        return self._deadline < math.inf

    def begin(self) -> None:
        """Stop; a second time changes nothing."""
        self._deadline = min(self._deadline, time.monotonic() + self._seconds)

    def seconds_left(self) -> float:
        """Of what is under way; infinite as long as nothing stops."""
        return max(0.0, self._deadline - time.monotonic())
