"""What a node without a supervisor does beside serving: jobs whose worker is gone are queued again.

Workers do so as well; where all of them are gone, somebody has to count what waits, or nobody would start a new one.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from service.database import tell_of
from service.jobs.store import Store
from service.settings import Settings
from service.worker.endings import LOST

REAP_SECONDS: Final = 2.0
AGAIN_SECONDS: Final = 1.0
log = logging.getLogger(__name__)


@contextmanager
def keeping_house(settings: Settings, *chores: Callable[[Store], None], every: float = REAP_SECONDS) -> Iterator[None]:
    """Leases are looked after and the chores done for as long as the context lasts."""
    over = threading.Event()
    keeper = threading.Thread(target=_keep, args=(settings, (_reap, *chores), every, over), name="house", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _reap(store: Store) -> None:
    store.reap(None, LOST)


def _keep(settings: Settings, chores: tuple[Callable[[Store], None], ...], every: float, over: threading.Event) -> None:
    while not over.wait(every):
        try:
            with closing(Store(settings.database, lease_seconds=settings.lease_seconds)) as store:
                while not over.wait(every):
                    for chore in chores:
                        chore(store)
        except Exception as error:  # noqa: BLE001 - there is no other thread that does this
            tell_of(log, "no house is kept", error)
            over.wait(AGAIN_SECONDS)
