"""What can be asked of the service, once for both clients."""

import hashlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypedDict, Unpack, cast
from urllib.parse import quote

import httpx

from analysis.comparison.document import Comparison
from analysis.errors import BadOptions
from analysis.report import Report
from service.client.answers import read, succeeded
from service.client.blobs import is_missing_blob, sent_ahead
from service.client.content import Batch, Model, Options, Part, fields_of, opened
from service.client.errors import not_the_service
from service.client.following import Following
from service.client.steps import Call, Send
from service.schemas import JobList, JobView, job_path

API_KEY: Final = "GRADIENT_HEALTH_API_KEY"
ANALYSES: Final = "/v1/analyses"
TIMEOUT: Final = httpx.Timeout(30.0, write=300.0)
"""Of a single read, write or connection; an analysis may take as long as it is waited for."""
LABELS: Final = ("project", "commit", "model_version")
Progress = Callable[[str, float], None]


class Submission(TypedDict, total=False):
    """What a submission may say besides model, batch and options."""

    labels: Mapping[str, str] | None
    data_files: Iterable[Path]
    """Those that tensors of the model lie in."""
    idempotency_key: str | None
    """The same key with the same content is the same job; without one a submission has a key that nobody else has."""
    callback: str | None
    """A URL that is told of the end (Standard Webhooks), at a host that the service allows."""
    no_cache: bool
    """Compute anew what an earlier report would answer."""
    blobs: bool
    """Send files ahead, each once: what the service has already is named, and not sent again."""


class Analysis(Submission, total=False):
    """What else an analysis may be told."""

    progress: Progress | None
    """Called with the stage and the fraction that is done."""
    models: Path | None
    """A folder for the models of remedies, and of what `options.variants` asks for."""
    timeout: float | None
    """Seconds until the end of the analysis is no longer waited for."""


def connection(url: str, key: str | None, timeout: float | httpx.Timeout) -> dict[str, Any]:
    """Keywords of httpx's clients; the key is by default the one in GRADIENT_HEALTH_API_KEY. Raises BadOptions."""
    key = (os.environ.get(API_KEY, "") if key is None else key).strip()
    if not (key.isascii() and key.isprintable()):  # httpx would quote it in its error
        raise BadOptions("the API key has characters that no key has", where=API_KEY)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return {"base_url": url.rstrip("/"), "timeout": timeout, "headers": headers}


def submit(
    model: Model,
    batch: Batch | None,
    options: Options | None,
    **how: Unpack[Submission],
) -> Call[JobView]:
    """Upload, and go on."""
    headers = {"Prefer": "respond-async", "Idempotency-Key": how.get("idempotency_key") or uuid.uuid4().hex}
    headers |= {"Cache-Control": "no-cache"} if how.get("no_cache") else {}
    callback = how.get("callback")
    asked = _labels(how.get("labels")) | ({} if callback is None else {"callback": callback})
    sent = {"data": fields_of(options), "headers": headers, "params": asked}
    with opened(model, batch, how.get("data_files", ())) as parts:
        response = yield from (_submit_blobs if how.get("blobs") else _submit_files)(parts, sent)
    return read(JobView, response)


def analyze(
    model: Model,
    batch: Batch | None,
    options: Options | None,
    **how: Unpack[Analysis],
) -> Call[Report]:
    """Submit, wait, fetch the report and the models."""
    submission = {name: how[name] for name in Submission.__optional_keys__ if name in how}  # type: ignore[literal-required] # a TypedDict of those keys
    job = yield from submit(model, batch, options, **cast("Submission", submission))
    yield from wait(job.id, how.get("progress"), how.get("timeout"))
    report = yield from report_of(job.id)
    folder = how.get("models")
    if folder is not None:
        asked = json.loads(fields_of(options).get("options", "{}")).get("variants", ())
        yield from fetch_models(job.id, report, folder, [*(each.variant for each in report.remedies), *asked])
    return report


def wait(job_id: str, progress: Progress | None = None, timeout: float | None = None) -> Call[JobView]:
    """The job as it ended. Raises WaitedTooLong."""
    following = Following(job_id, timeout)
    job: JobView | None = None
    try:
        while (told := (yield from following.next())) is not None:
            job = told
            if progress is not None:
                progress(job.progress.stage, job.progress.fraction)
    finally:
        yield from following.close()
    assert job is not None
    return job


def job_of(job_id: str) -> Call[JobView]:
    """State and progress."""
    response = yield Send("GET", job_path(job_id))
    return read(JobView, response)


def report_of(job_id: str) -> Call[Report]:
    """The report of a job that has ended."""
    response = yield Send("GET", f"{job_path(job_id)}/report")
    return read(Report, response)


def report_as(job_id: str, suffix: str) -> Call[str]:
    """The same in another format: html, md, junit.xml, sarif ..."""
    response = yield Send("GET", f"{job_path(job_id)}/report.{quote(suffix, safe='')}")
    return succeeded(response).text


def page(state: Iterable[str], labels: Mapping[str, str] | None, cursor: str | None) -> Call[JobList]:
    """A page of jobs, newest first."""
    asked = {"state": list(state), **_labels(labels)} | ({} if cursor is None else {"cursor": cursor})
    response = yield Send("GET", ANALYSES, {"params": asked})
    return read(JobList, response)


def cancel(job_id: str) -> Call[JobView]:
    """End it; a second time changes nothing."""
    response = yield Send("POST", f"{job_path(job_id)}/cancel")
    return read(JobView, response)


def delete(job_id: str) -> Call[None]:
    """Forget it; forgotten is also what was deleted before."""
    response = yield Send("DELETE", job_path(job_id))
    if response.status_code != HTTPStatus.GONE:
        succeeded(response)


def compare(old: str | Report, new: str | Report, fail_on: str | None) -> Call[Comparison]:
    """What changed; `regression` says whether that fails."""
    sides = {name: side if isinstance(side, str) else json.loads(side.to_json()) for name, side in _sides(old, new)}
    asked = {} if fail_on is None else {"fail_on": fail_on}
    response = yield Send("POST", "/v1/comparisons", {"json": sides, "params": asked})
    if response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY and "Gradient-Health-Verdict" in response.headers:
        return Comparison.model_validate_json(response.content)
    return read(Comparison, response)


def fetch_models(job_id: str, report: Report, folder: Path, variants: Iterable[str]) -> Call[None]:
    """The models of these variants, where they have one, as `<variant id>.onnx`; each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {each.id: each.model for each in report.variants if each.model is not None}
    for file in dict.fromkeys(files[name] for name in variants if name in files):
        name = file.href.removeprefix("variants/").removesuffix("/model.onnx")
        with tempfile.TemporaryDirectory(dir=folder, suffix=".part") as part:
            path = Path(part) / "model.onnx"
            yield from _download(f"{job_path(job_id)}/{file.href}", path, file.sha256)
            path.replace(folder / f"{Path(name).name}.onnx")


def is_ready() -> Call[bool]:
    """Whether analyses can run."""
    try:
        response: httpx.Response = yield Send("GET", "/readyz")
    except httpx.TransportError:
        return False
    return response.is_success


def _submit_files(parts: list[Part], sent: dict[str, Any]) -> Call[httpx.Response]:
    response: httpx.Response = yield Send("POST", ANALYSES, {"files": parts, **sent})
    return response


def _submit_blobs(parts: list[Part], sent: dict[str, Any]) -> Call[httpx.Response]:
    """What has gone since the service said that it has it is sent once more."""
    for again in (False, True):
        named = yield from sent_ahead(parts, again=again)
        response: httpx.Response = yield Send("POST", ANALYSES, {"files": {"blobs": (None, named)}, **sent})
        if not is_missing_blob(response):
            break
    return response


def _download(path: str, target: Path, sha256: str) -> Call[None]:
    """A file, written as it arrives. Raises ApiError, also where it is not the one that was promised."""
    with target.open("w+b") as file:
        response = yield Send("GET", path, file=file)
        succeeded(response)
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise not_the_service(response)


def _labels(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Raises BadOptions for one that the service does not keep."""
    for name in labels or {}:
        if name not in LABELS:
            raise BadOptions(f"{name!r} is no label", where="labels", hint=f"one of {', '.join(LABELS)}")
    return dict(labels or {})


def _sides(old: str | Report, new: str | Report) -> tuple[tuple[str, str | Report], ...]:
    return ("old", old), ("new", new)
