"""A sweeper whose clock is turned by hand, and what is left after it."""

from pathlib import Path
from typing import Any

from service.jobs.job import Job, Question, new_id
from service.jobs.store import Store
from service.objects.folder import ObjectFolder
from service.settings import Settings
from service.worker.sweeper import PREFIXES, Sweeper
from tests.service.jobs.small_jobs import NOW, SECOND

HOUR = 3600.0


class Sweeps:
    """Over a table and a folder."""

    def __init__(self, store: Store, objects: ObjectFolder, **settings: Any) -> None:
        self.store, self.objects, self.seconds = store, objects, 0.0
        settings = {"data_dir": Path("nowhere"), "orphan_seconds": HOUR} | settings
        self.sweeper = Sweeper(store, objects, Settings(**settings), lambda: self.seconds)

    def round(self) -> None:
        """All prefixes once, and what comes before and after them."""
        self.sweeper.prefixes = tuple({name[:2] for name in self.names()} | set(PREFIXES[:2]))
        for _ in range(len(self.sweeper.prefixes) + 3):
            self.sweeper.turn()

    def rounds(self, number: int, hours: float = 1.0) -> None:
        """With so much time after each."""
        for _ in range(number):
            self.round()
            self.seconds += hours * HOUR

    def names(self) -> set[str]:
        """Of all objects."""
        return {path.name for path in self.objects.folder.rglob("?" * 64)}

    def submit(self, *contents: bytes, number: int = 0, **fields: Any) -> Job:
        """Stored and submitted, as a request does it: a model, and its external data."""
        model, *data = (self.objects.put(content).sha256 for content in contents)
        question = Question(
            model, "m.onnx", None, "{}", "d" * 64, {str(place): name for place, name in enumerate(data)}
        )
        job = Job(id=new_id(), question=question, created=NOW + number * SECOND, **fields)
        self.store.submit(job, self.objects.size)
        return job
