"""An analysis on a server; whoever analyses here does not load what speaks HTTP."""

from http import HTTPStatus
from pathlib import Path

import httpx

from analysis.clock import Progress
from analysis.errors import BadOptions
from analysis.model.locations import files_beside
from analysis.options import AnalysisOptions
from analysis.report import Report
from service.client import Client
from service.problems import ProblemError, problem


def analyze_there(
    server: str, model: Path, batch: Path | None, options: AnalysisOptions, models: Path | None, progress: Progress
) -> Report:
    """The report; models of proven remedies go to `models`. Raises ProblemError, BadOptions (no address)."""
    try:
        beside = files_beside(model)
        with Client(server) as client:
            return client.analyze(model, batch, options, progress=progress, models=models, data_files=beside)
    except httpx.TransportError as error:
        detail = f"no answer from {server}: {error}"
        raise ProblemError(problem("no-answer", HTTPStatus.SERVICE_UNAVAILABLE, detail)) from error
    except httpx.InvalidURL as error:
        raise BadOptions(f"{server!r} is no address: {error}", where="--server") from error
