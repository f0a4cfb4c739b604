"""A client of the HTTP API: submit, follow, fetch the report."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from analysis.options import AnalysisOptions
from analysis.report import Report
from service.problems import Problem, ProblemError, refusal
from service.schemas import JobView

POLL_SECONDS: Final = 0.1
TIMEOUT: Final = httpx.Timeout(30.0, write=300.0)
Answer = TypeVar("Answer", bound=BaseModel)


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
        return _read(JobView, response)

    def job(self, job_id: str) -> JobView:
        """State and progress."""
        return _read(JobView, self._http.get(f"/v1/analyses/{job_id}"))

    def report(self, job_id: str) -> Report:
        """The report of a finished job."""
        return _read(Report, self._http.get(f"/v1/analyses/{job_id}/report"))

    def ready(self) -> bool:
        """Whether analyses can run."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False


def _read(kind: type[Answer], response: httpx.Response) -> Answer:
    """The body of a success; raises the problem of a failure, also where somebody else answers for the service."""
    try:
        if response.is_success:
            return kind.model_validate_json(response.content)
        told = Problem.model_validate_json(response.content)
    except ValidationError as error:
        detail = f"{response.url} answered {response.status_code}, and not as gradient-health does"
        raise refusal("not-the-service", HTTPStatus.BAD_GATEWAY, detail, hint="is there a proxy in between?") from error
    raise ProblemError(told)
