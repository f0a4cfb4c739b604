"""Where a supervisor gets its jobs from: a source claims one when there is a slot for it.

The table itself is the source of the embedded and of the polling runner; with Celery the ids come from a broker
(`deliveries`). Either way the claim is a row of the table, and the rest of a job's life the same.
"""

from typing import Any, Final, Protocol

from service.jobs.bell import Bell
from service.jobs.job import Job
from service.jobs.store import Store
from service.settings import Settings

TICK_SECONDS: Final = 0.05
"""So long nobody looks for new jobs where no bell rings."""
FALLBACK_SECONDS: Final = 1.0
"""And where one does, in case it was not heard."""


class Source(Protocol):
    """Where jobs come from."""

    def claim(self) -> Job | None:
        """The next job, which is this supervisor's from now on."""

    def ended(self, job: Job) -> None:
        """It runs here no longer, however that came."""

    def hand_on(self) -> None:
        """The table does not answer: what waits here goes to whoever may have more luck."""

    def ears(self) -> list[Any]:
        """What becomes readable when there may be a job."""

    def patience(self) -> float:
        """Seconds after which one asks, whatever was heard."""

    def close(self) -> None:
        """No further job."""


class TableSource:
    """Asks the table, and is woken where it can ring."""

    def __init__(self, store: Store, owner: str, settings: Settings) -> None:
        """Claims for this owner."""
        self._store = store
        self._owner = owner
        self._settings = settings
        self._bell = Bell(store.engine)

    def claim(self) -> Job | None:
        """The oldest that this node may compute."""
        self._bell.hush()
        return self._store.claim(
            self._owner,
            most_of_a_tenant=self._settings.max_running_jobs_per_tenant,
            device=self._settings.computes,
        )

    def ended(self, job: Job) -> None:
        """Nobody has to be told."""

    def hand_on(self) -> None:
        """Nothing waits here."""

    def ears(self) -> list[Any]:
        """The bell."""
        return self._bell.ears()

    def patience(self) -> float:
        """Short where there is no bell."""
        return FALLBACK_SECONDS if self._bell.ears() else TICK_SECONDS

    def close(self) -> None:
        """Listen no longer."""
        self._bell.close()


def source_of(store: Store, owner: str, settings: Settings) -> Source:
    """As the runner of the settings has it. Raises MissingExtraError."""
    if settings.runner != "celery":
        return TableSource(store, owner, settings)
    from service.worker.deliveries import BrokerSource  # noqa: PLC0415 - of an extra that few have

    return BrokerSource(store, owner, settings)
