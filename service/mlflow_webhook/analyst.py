"""New versions, analysed one after the other in the background; how far each is stands beside it, in the registry.

    tag gradient_health.state:   queued -> running -> done | no model | failed: <why>

The registry is the memory: what is `queued` or `running` when a receiver starts was left by the one before it and is
taken up again, and a version that has come to an end is not analysed a second time, whoever asks. Whoever sets the tag
of a version to `queued` by hand has it analysed, for the first time or anew: every half minute it is looked for.
"""

import logging
import queue
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from service.mlflow.connection import Connection, MlflowBusyError, MlflowError
from service.mlflow.runs import log_run
from service.mlflow.versions import PREFIX, Version, fetch, set_tag, tag_verdict, tagged, tags_at
from service.mlflow_webhook.analysis import Analysis, AnalysisFailed

LOG: Final = logging.getLogger("service.mlflow_webhook")
STATE: Final = f"{PREFIX}state"
QUEUED: Final = "queued"
RUNNING: Final = "running"
DONE: Final = "done"
NO_MODEL: Final = "no model"
MOST_WAITING: Final = 1000
MOST_TRIES: Final = 20
PAUSE_SECONDS: Final = 30.0
"""Between tries as long as MLflow is not there, ten minutes in all, and between looks for what is queued by hand."""
LOOK_SECONDS: Final = 0.2
STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What is done with every version."""

    experiment: str
    batch: Path | None
    """For all of them, in place of the one that lies beside a model."""
    most_bytes: int
    """Of a model and what lies beside it."""


class Analyst:
    """One thread, once started."""

    def __init__(self, server: Connection, analysis: Analysis, order: Order, pause: float = PAUSE_SECONDS) -> None:
        """`pause`: seconds between tries."""
        self._server = server
        self._analysis = analysis
        self._order = order
        self._pause = pause
        self._queue: queue.SimpleQueue[Version] = queue.SimpleQueue()
        self._known: set[Version] = set()
        """Waiting or under way."""
        self._tries: Counter[Version] = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="analyst", daemon=True)

    @property
    def waiting(self) -> int:
        """Versions that have not come to an end."""
        return len(self._known)

    def has_room(self) -> bool:
        """Whether another one is taken."""
        return self.waiting < MOST_WAITING and not self._stopping.is_set()

    def start(self) -> None:
        """Begin with what was left by the receiver before."""
        self._thread.start()

    def stop(self) -> None:
        """End what is under way: it goes on with the next start."""
        self._stopping.set()
        self._analysis.stop()
        self._thread.join(STOP_SECONDS)
        if self._known:
            LOG.warning("left for the next start: %s", ", ".join(sorted(map(str, self._known))))

    def expect(self, version: Version) -> bool:
        """It counts as waiting from now on; False where it did before. Whoever hears True has to `take` it."""
        with self._lock:
            known = version in self._known
            self._known.add(version)
        return not known

    def take(self, version: Version) -> None:
        """Analyse it when its turn comes, if that was not done before."""
        try:
            state = tags_at(self._server, version).get(STATE, "")
            if state not in {"", QUEUED, RUNNING}:
                LOG.info("%s: its tag %s is %s, set it to %s to have it analysed anew", version, STATE, state, QUEUED)
                self._known.discard(version)
                return
            set_tag(self._server, version, STATE, QUEUED)
        except (MlflowBusyError, httpx.TransportError) as error:
            LOG.warning("%s: MLflow cannot be told that it waits: %s", version, error)
        except MlflowError as error:
            LOG.error("%s: not analysed: %s", version, error)  # noqa: TRY400 - said by another, no bug
            self._known.discard(version)
            return
        self._queue.put(version)

    def _work(self) -> None:
        look_for: tuple[str, ...] = (RUNNING, QUEUED)
        next_look = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_look:
                look_for = (QUEUED,) if self._take_up(look_for) else look_for
                next_look = time.monotonic() + self._pause
            try:
                version = self._queue.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                continue
            if self._comes_to_an_end(version):
                self._known.discard(version)
            elif not self._stopping.wait(self._pause):
                self._queue.put(version)

    def _take_up(self, states: Iterable[str]) -> bool:
        """Take what stands so in the registry and nobody has told of; False where MLflow does not answer."""
        try:
            for version in [each for state in states for each in tagged(self._server, STATE, state)]:
                if self.expect(version):
                    LOG.info("%s: found waiting", version)
                    self.take(version)
        except (MlflowBusyError, httpx.TransportError) as error:
            LOG.warning("MLflow does not answer: %s", error)
            return False
        except MlflowError as error:
            LOG.error("it is not known what else waits: %s", error)  # noqa: TRY400 - the same
        return True

    def _comes_to_an_end(self, version: Version) -> bool:
        """False where it has to be tried again, or was broken off."""
        began = time.monotonic()
        try:
            state = self._analyse(version)
        except (MlflowBusyError, httpx.TransportError) as error:
            self._tries[version] += 1
            LOG.warning("%s: try %d: MLflow does not answer: %s", version, self._tries[version], error)
            if self._tries[version] < MOST_TRIES:
                return False
            state = f"failed: {error}"
        except (AnalysisFailed, MlflowError, OSError) as error:
            if self._stopping.is_set():
                return False
            state = f"failed: {error}"
        except Exception as error:  # the worker's boundary: the next version is analysed all the same
            LOG.exception("%s: a bug of gradient-health", version)
            state = f"failed: a bug of gradient-health ({type(error).__name__})"
        del self._tries[version]
        LOG.log(
            logging.ERROR if state.startswith("failed") else logging.INFO,
            "%s: %s after %.1f s", version, state, time.monotonic() - began,
        )  # fmt: skip
        try:
            set_tag(self._server, version, STATE, state)
        except (MlflowError, httpx.TransportError) as error:
            LOG.error("%s: MLflow cannot be told so: %s", version, error)  # noqa: TRY400 - the same
        return True

    def _analyse(self, version: Version) -> str:
        """The state that it came to."""
        set_tag(self._server, version, STATE, RUNNING)
        LOG.info("%s: analysed now", version)
        with tempfile.TemporaryDirectory(prefix="gradient-health-") as folder:
            fetched, out = Path(folder, "model"), Path(folder, "out")
            fetched.mkdir()
            out.mkdir()
            found = fetch(self._server, version, fetched, self._order.most_bytes)
            if found is None:
                return NO_MODEL
            done = self._analysis.run(found.model, self._order.batch or found.batch, out)
            run_id = log_run(self._server, done.report, self._order.experiment, done.models, str(version))
        tag_verdict(self._server, version, done.report, run_id)
        LOG.info("%s: %s, run %s", version, done.report.verdict.value, run_id)
        return DONE
