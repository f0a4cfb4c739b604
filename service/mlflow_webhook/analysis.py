"""An analysis as a process of its own: what a model does to it, it does not do to the receiver.

It is the command line, `gradient-health analyze`, with the receiver's options: here, or on a server with `--server`.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from analysis.report import Report

SECRET: Final = "GRADIENT_HEALTH_MLFLOW_WEBHOOK_SECRET"  # noqa: S105 - the name of a variable
HIDDEN: Final = ("MLFLOW_", SECRET)
"""Of the environment, what an analysis has no business with, by how it begins."""
ROOT: Final = Path(__file__).parents[2]
VERDICTS: Final = (0, 1)
"""Exit codes with a report."""
REASON_CHARACTERS: Final = 500


class AnalysisFailed(Exception):
    """There is no report; the message says why."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """What an analysis left."""

    report: Report
    models: list[Path]
    """Repaired ones."""


class Analysis:
    """Runs the command; from several threads, too."""

    def __init__(self, options: Sequence[str], seconds: float) -> None:
        """`options` of `analyze`; `seconds` by the clock that one may take."""
        self._options = tuple(options)
        self._seconds = seconds
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(self, model: Path, batch: Path | None, folder: Path) -> Analysed:
        """Analyse it; `folder` is for what comes out. Raises AnalysisFailed."""
        files = [str(model), *([] if batch is None else [str(batch)])]
        out, repaired, told = folder / "report.json", folder / "repaired", folder / "stderr"
        command = [sys.executable, "-P", "-m", "service", "analyze", *files, "--json", str(out)]
        command += ["--save-repaired", str(repaired), *self._options]
        with told.open("wb") as stderr:
            code = self._end_of(command, stderr.fileno())
        if code not in VERDICTS or not out.is_file():
            raise AnalysisFailed(_reason(told, code))
        try:
            return Analysed(Report.from_json(out.read_bytes()), sorted(repaired.glob("*.onnx")))
        except ValidationError as error:
            raise AnalysisFailed(f"the report cannot be read: {error.errors()[0]['msg']}") from error

    def stop(self) -> None:
        """End what is under way, and begin nothing more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def _end_of(self, command: list[str], stderr: int) -> int:
        with self._lock:
            if self._stopped:
                raise AnalysisFailed("the receiver stops")
            process = subprocess.Popen(  # noqa: S603 - our own module
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                env=_environment(), start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        try:
            return process.wait(self._seconds)
        except subprocess.TimeoutExpired as error:
            raise AnalysisFailed(f"it took longer than {self._seconds:g} s") from error
        finally:
            _kill(process)
            process.wait()
            with self._lock:
                self._running.remove(process)


def _environment() -> dict[str, str]:
    """Ours without the credentials of the registry; the program is found wherever the receiver was started."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and what it has started; whatever has ended already is left alone."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _reason(told: Path, code: int) -> str:
    lines = [line.strip() for line in told.read_text(errors="replace").splitlines() if line.strip()]
    return (lines[-1] if lines else f"it ended with code {code}").removeprefix("error: ")[:REASON_CHARACTERS]
