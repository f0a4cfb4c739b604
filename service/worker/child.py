"""The job child: runs the library on one request and tells its supervisor, over a pipe, how far it is and how it ended.

Imported once by the fork server, so that a child starts with torch in place (milliseconds instead of seconds). Besides
`service.cli.analyze` this is the only part of the service that imports the laboratory.
"""

import dataclasses
import logging
import time
from collections.abc import Mapping
from typing import Final

import onnxruntime
import torch

from analysis.errors import AnalysisError
from analysis.experiment.export import Destination
from analysis.model import check_model
from analysis.options import parse_options
from analysis.pipeline import analyze
from service.logs import about
from service.problems import FULL
from service.worker.channel import Sender
from service.worker.protocol import MODELS, REPORT, Assignment, Broken, Done, NoRoom, Reached, Refused
from service.worker.sandbox import confine

onnxruntime.disable_telemetry_events()
NEWS_SECONDS: Final = 0.1
"""Steps that follow one another faster are not told one by one, where the stage is the same."""
log = logging.getLogger(__name__)


class News:
    """What a supervisor is told of how far its job is."""

    def __init__(self, to: Sender) -> None:
        """Nothing so far."""
        self._to = to
        self._stage = ""
        self._told = -NEWS_SECONDS

    def tell(self, stage: str, fraction: float) -> None:
        """A step; of a quick succession the first one."""
        if stage != self._stage or time.monotonic() - self._told >= NEWS_SECONDS:
            self._stage, self._told = stage, time.monotonic()
            self._to.send(Reached(stage, fraction, time.time()))


def run(assignment: Assignment, to: Sender) -> None:
    """Do it, and say how it ended."""
    with about(job_id=assignment.confinement.folder.name.partition(".")[0]):
        _run(assignment, to)


def _run(assignment: Assignment, to: Sender) -> None:
    try:
        kept = [to.descriptor, *(file.descriptor for file in assignment.inputs)]
        sandbox = confine(assignment.confinement, kept, [file.path for file in assignment.inputs])
        to.send(_analyze(assignment, sandbox, to))
    except AnalysisError as error:
        to.send(Refused(error))
    except Exception as error:
        log.exception("an analysis failed")
        is_full = isinstance(error, OSError) and error.errno in FULL
        to.send(NoRoom() if is_full else Broken(type(error).__name__))


def _analyze(assignment: Assignment, sandbox: Mapping[str, str], to: Sender) -> Done:
    torch.set_num_threads(assignment.threads)
    sent = {name: file.path for name, file in assignment.data_files.items()}
    model = dataclasses.replace(check_model(assignment.model.path, sent=sent), name=assignment.model_name)
    folder = assignment.confinement.folder
    report = analyze(
        model,
        None if assignment.batch is None else assignment.batch.path,
        parse_options(assignment.options),
        models=Destination(folder / MODELS, room=assignment.models_bytes, alone=True),
        progress=News(to).tell,
    )
    engine = dataclasses.replace(report.engine, sandbox=sandbox)
    (folder / REPORT).write_bytes(report.model_copy(update={"engine": engine}).to_json())
    return Done()
