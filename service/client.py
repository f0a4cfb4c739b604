"""A client of the HTTP API: submit, follow, fetch the report."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import httpx

from analysis.options import AnalysisOptions
from analysis.report import Report
from service.problems import Problem, ProblemError
from service.schemas import JobView

POLL_SECONDS: Final = 0.1
TIMEOUT: Final = httpx.Timeout(30.0, write=300.0)


class Client:
    """Talks to one service."""

    def __init__(self, url: str) -> None:
        """Where the service is."""
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT)

    def analyze(
        self,
        model: Path,
        batch: Path | None = None,
        options: AnalysisOptions | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> Report:
        """Submit and wait for the report.

        Raises ProblemError (the service refused or the analysis failed), httpx.TransportError (no service).
        """
        job = self.submit(model, batch, options)
        while not job.state.is_end:
            if progress is not None:
                progress(job.progress.stage, job.progress.fraction)
            time.sleep(POLL_SECONDS)
            job = self.job(job.id)
        return self.report(job.id)

    def submit(self, model: Path, batch: Path | None = None, options: AnalysisOptions | None = None) -> JobView:
        """Upload and return at once."""
        with ExitStack() as files:
            parts = {"model": (model.name, files.enter_context(model.open("rb")))}
            if batch is not None:
                parts["batch"] = (batch.name, files.enter_context(batch.open("rb")))
            fields = {} if options is None else {"options": options.model_dump_json(exclude_unset=True)}
            response = self._http.post("/v1/analyses", files=parts, data=fields, headers={"Prefer": "respond-async"})
        return JobView.model_validate_json(_accepted(response).content)

    def job(self, job_id: str) -> JobView:
        """State and progress."""
        return JobView.model_validate_json(_accepted(self._http.get(f"/v1/analyses/{job_id}")).content)

    def report(self, job_id: str) -> Report:
        """The report of a finished job."""
        return Report.from_json(_accepted(self._http.get(f"/v1/analyses/{job_id}/report")).content)

    def ready(self) -> bool:
        """Whether analyses can run."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False


def _accepted(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    raise ProblemError(Problem.model_validate_json(response.content))
