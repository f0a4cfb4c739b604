"""The runner of several nodes on one database: `gradient-health worker` on each, which ask the table for jobs."""

from contextlib import AbstractContextManager

from service.runners.house import keeping_house
from service.settings import Settings


def polling(settings: Settings) -> AbstractContextManager[None]:
    """Beside an API whose jobs are claimed by workers elsewhere."""
    return keeping_house(settings)
