"""A client of the HTTP API: submit, follow, fetch the report."""

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from analysis.errors import BadOptions
from analysis.options import AnalysisOptions
from analysis.report import Report
from service.problems import Problem, ProblemError, refusal
from service.schemas import JobView

ASK_SECONDS: Final = 0.1
"""How often a client that follows its job asks how far it is."""
API_KEY: Final = "GRADIENT_HEALTH_API_KEY"
TIMEOUT: Final = httpx.Timeout(30.0, write=300.0)
Answer = TypeVar("Answer", bound=BaseModel)


class Client:
    """Talks to one service."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Where the service is, and an API key for it; by default the one in GRADIENT_HEALTH_API_KEY, if any.

        Raises BadOptions where that is no key.
        """
        headers = _authorization(os.environ.get(API_KEY, "") if key is None else key)
        self._http = httpx.Client(base_url=url.rstrip("/"), timeout=TIMEOUT, headers=headers)

    def analyze(
        self,
        model: Path,
        batch: Path | None = None,
        options: AnalysisOptions | None = None,
        progress: Callable[[str, float], None] | None = None,
        models: Path | None = None,
        data_files: Iterable[Path] = (),
    ) -> Report:
        """Submit and wait for the report; with `models` the remedies' models are fetched into that folder.

        `data_files`: those that tensors of the model lie in.

        Raises ProblemError (the service refused or the analysis failed), httpx.TransportError (no service).
        """
        job = self.submit(model, batch, options, data_files)
        while not job.state.is_end:
            if progress is not None:
                progress(job.progress.stage, job.progress.fraction)
            time.sleep(ASK_SECONDS)
            job = self.job(job.id)
        report = self.report(job.id)
        if models is not None:
            asked = () if options is None else options.variants
            self.fetch_models(job.id, report, models, [*(each.variant for each in report.remedies), *asked])
        return report

    def fetch_models(self, job_id: str, report: Report, folder: Path, variants: Iterable[str]) -> None:
        """The models of these variants, where they have one, as `<variant id>.onnx`; each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {each.id: each.model.href for each in report.variants if each.model is not None}
        for href in dict.fromkeys(files[name] for name in variants if name in files):
            name = href.removeprefix("variants/").removesuffix("/model.onnx")
            with tempfile.TemporaryDirectory(dir=folder, suffix=".part") as part:
                path = Path(part) / "model.onnx"
                with self._http.stream("GET", f"/v1/analyses/{job_id}/{href}") as response, path.open("wb") as file:
                    if not response.is_success:
                        response.read()
                        raise _failure(response)
                    for chunk in response.iter_bytes():
                        file.write(chunk)
                path.replace(folder / f"{Path(name).name}.onnx")

    def submit(
        self,
        model: Path,
        batch: Path | None = None,
        options: AnalysisOptions | None = None,
        data_files: Iterable[Path] = (),
    ) -> JobView:
        """Upload and return at once."""
        sent = [("model", model), *([] if batch is None else [("batch", batch)])]
        sent += [("external_data", path) for path in data_files]
        with ExitStack() as files:
            parts = [(part, (path.name, files.enter_context(path.open("rb")))) for part, path in sent]
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


def _authorization(key: str) -> dict[str, str]:
    """The header for a key. What no header may hold is refused here: httpx would quote it in its error."""
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise BadOptions("the API key has characters that no key has", where=API_KEY)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _read(kind: type[Answer], response: httpx.Response) -> Answer:
    """The body of a success; raises the problem of a failure, also where somebody else answers for the service."""
    if not response.is_success:
        raise _failure(response)
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise _not_the_service(response) from error


def _failure(response: httpx.Response) -> ProblemError:
    try:
        return ProblemError(Problem.model_validate_json(response.content))
    except ValidationError:
        return _not_the_service(response)


def _not_the_service(response: httpx.Response) -> ProblemError:
    detail = f"{response.url} answered {response.status_code}, and not as gradient-health does"
    return refusal("not-the-service", HTTPStatus.BAD_GATEWAY, detail, hint="is there a proxy in between?")
