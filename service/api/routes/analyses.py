"""Analyses: submit a model and a batch, wait, ask, fetch the report."""

import hashlib
import math
import re
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from sqlalchemy.exc import IntegrityError
from starlette.background import BackgroundTask

from analysis.gate import Gate
from analysis.report import ModelFile, Report
from analysis.version import VERSION
from service.api.answers import HTML, JSON, VARY, answer, preferred
from service.api.context import Context, context_of
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.waiting import (
    RETRY_SECONDS,
    FailOn,
    come_back,
    find_job,
    stored_problem,
    unfinished,
)
from service.intake.multipart import Upload, receive
from service.jobs.job import Job, State, new_id, now
from service.jobs.job import Request as Question
from service.problems import ProblemError, refusal
from service.schemas import JobView, job_path, view

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])
POLL_SECONDS: Final = 0.05
ONNX: Final = "application/onnx"
SHA256: Final = re.compile("[0-9a-f]{64}")
WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*(\d+)")
Wait = Annotated[float | None, Query(ge=0, description="Seconds to wait for the report before answering")]
REQUEST_BODY: Final = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["model"],
                "properties": {
                    "model": {"type": "string", "format": "binary", "description": "an ONNX model"},
                    "batch": {
                        "type": "string",
                        "format": "binary",
                        "description": "npz, npy, safetensors, TensorProto or Open Inference JSON; without it a batch "
                        "is made up",
                    },
                    "options": {"type": "string", "description": "JSON, see /v1/schema/options"},
                },
            },
            "example": {"model": "(bytes of model.onnx)", "batch": "(bytes of batch.npz)", "options": '{"seed": 0}'},
        }
    },
}


@router.post(
    "",
    operation_id="analyze",
    summary="Analyse a model",
    response_model=Report,
    responses={
        202: {"model": JobView, "description": "Not finished yet: poll Location"},
        400: PROBLEM | {"description": "The model, batch or options are refused"},
        408: PROBLEM | {"description": "The upload stalled"},
        413: PROBLEM | {"description": "Too large"},
        415: PROBLEM | {"description": "Not multipart/form-data"},
        422: PROBLEM
        | {
            "model": Report,
            "description": "With fail_on: the report fails the gate. As a problem: unsupported operators, or an "
            "Idempotency-Key used for another request",
        },
        503: PROBLEM | {"description": "With fail_on: no verdict yet, try again at Location"},
        "default": ANY_OTHER,
    },
    openapi_extra={"requestBody": REQUEST_BODY},
)
async def analyze(
    request: Request,
    fail_on: FailOn = None,
    wait: Wait = None,
    prefer: Annotated[str | None, Header()] = None,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Response:
    """Upload `model` and `batch`; waits for the report, or answers 202 with the job."""
    context = context_of(request)
    gate = None if fail_on is None else Gate.parse(fail_on)
    upload = await receive(request.headers, request.stream(), context.objects, context.upload_limits)
    job = await run_sync(_accept, context, upload, idempotency_key, gate is not None)
    seconds, applied = _patience(context, wait, prefer)
    job = await _wait(context, job, seconds)
    return _answer_submission(context, job, gate, applied)


@router.get(
    "/{job_id}",
    operation_id="get_analysis",
    summary="A job",
    response_model=JobView,
    responses={404: PROBLEM, "default": ANY_OTHER},
)
async def get_analysis(request: Request, job_id: str) -> JobView:
    """State and progress."""
    return view(await run_sync(find_job, context_of(request), job_id))


@router.get(
    "/{job_id}/report",
    operation_id="get_report",
    summary="The report alone, as JSON or as a page",
    response_model=Report,
    responses={
        200: {"content": {HTML: {"schema": {"type": "string"}}}, "description": "The report, as JSON or as a page"},
        304: {"description": "If-None-Match names what would be sent"},
        400: PROBLEM | {"description": "The query is refused"},
        404: PROBLEM,
        406: PROBLEM | {"description": "Neither JSON nor HTML is accepted"},
        409: PROBLEM | {"description": "Not finished yet"},
        422: PROBLEM | {"model": Report, "description": "With fail_on: the report fails the gate"},
        503: PROBLEM | {"description": "With fail_on: no verdict yet"},
        "default": ANY_OTHER,
    },
)
async def get_report(
    request: Request,
    job_id: str,
    fail_on: FailOn = None,
    wait: Wait = None,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """The report of a finished job: JSON, or with `Accept: text/html` a page. A failed job answers with its problem."""
    context = context_of(request)
    gate = None if fail_on is None else Gate.parse(fail_on)
    kind = preferred(request.headers.getlist("accept"))
    job = await run_sync(find_job, context, job_id)
    job = await _wait(context, job, min(wait or 0.0, context.settings.max_wait_seconds))
    if not job.state.is_end:
        status = HTTPStatus.CONFLICT if gate is None else HTTPStatus.SERVICE_UNAVAILABLE
        raise ProblemError(unfinished(job, status), come_back(job))
    response = await run_sync(_answer_end, context, job, gate, kind, if_none_match)
    response.headers.update(VARY)
    return response


@router.get(
    "/{job_id}/variants/{variant}/model.onnx",
    operation_id="get_variant_model",
    summary="A repaired model",
    response_class=FileResponse,
    responses={
        200: {"content": {ONNX: {}}, "description": "The model as ONNX; its metadata say what was done to which"},
        304: {"description": "Not modified"},
        404: PROBLEM | {"description": "There is no such analysis, variant, or model of it; the problem says why"},
        409: PROBLEM | {"description": "Not finished yet"},
        "default": ANY_OTHER,
    },
)
async def get_variant_model(
    request: Request, job_id: str, variant: str, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """What `variants[].model` of the report refers to."""
    context = context_of(request)
    job = await run_sync(find_job, context, job_id)
    if not job.state.is_end:
        raise ProblemError(unfinished(job, HTTPStatus.CONFLICT), come_back(job))
    file = await run_sync(_model_of, context, job, variant)
    headers = {"ETag": f'"{file.sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match is not None and file.sha256 in if_none_match:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    name = f"{Path(job.request.model_name).stem}.{variant}.onnx"
    reading = ExitStack()
    path = reading.enter_context(context.objects.local(file.sha256))
    done = BackgroundTask(reading.close)
    return FileResponse(path, headers=headers, media_type=ONNX, filename=name, background=done)


# ------------------------------------------------------------------ submission


def _accept(context: Context, upload: Upload, key: str | None, rejoin: bool) -> Job:  # noqa: FBT001 - from a thread
    """The job for this upload: a new one, or the one this key or gate is already waiting for."""
    options = upload.options.model_dump_json()
    batch = upload.blobs.get("batch")
    parts = (upload.blobs["model"].sha256, "" if batch is None else batch.sha256, options, VERSION)
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    known = context.store.by_key(key) if key is not None else None
    if known is not None and known.request.digest != digest:
        raise refusal(
            "idempotency-key-reuse",
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "this Idempotency-Key was used for another request",
            where="Idempotency-Key",
            hint="use a new key for a new question",
        )
    known = known or (context.store.rejoinable(digest) if rejoin else None)
    if known is not None:
        return known
    question = Question(
        model_sha256=upload.blobs["model"].sha256,
        model_name=upload.names.get("model") or "model.onnx",
        batch_sha256=None if batch is None else batch.sha256,
        options=options,
        digest=digest,
    )
    job = Job(id=new_id(), request=question, created=now(), idempotency_key=key)
    try:
        context.store.submit(job)
    except IntegrityError:  # a request with the same key was a moment faster: it is known now
        return _accept(context, upload, key, rejoin)
    return job


def _patience(context: Context, wait: float | None, prefer: str | None) -> tuple[float, str | None]:
    """Seconds to wait, and the preference that was applied (RFC 7240)."""
    settings = context.settings
    if prefer is not None and "respond-async" in prefer:
        return 0.0, "respond-async"
    stated = WAIT.search(prefer or "")
    if stated is not None:
        seconds = min(float(stated[1]), settings.max_wait_seconds)
        return seconds, f"wait={math.floor(seconds)}"
    return min(settings.default_wait_seconds if wait is None else wait, settings.max_wait_seconds), None


async def _wait(context: Context, job: Job, seconds: float) -> Job:
    """The job, as soon as it, the patience or the server has ended."""
    deadline = anyio.current_time() + seconds
    while not (job.state.is_end or context.stopping.is_set()) and anyio.current_time() < deadline:
        await anyio.sleep(POLL_SECONDS)
        job = await run_sync(find_job, context, job.id)
    return job


def _answer_submission(context: Context, job: Job, gate: Gate | None, applied: str | None) -> Response:
    headers = {} if applied is None else {"Preference-Applied": applied}
    headers |= {"Location": job_path(job.id), "Link": f'<{job_path(job.id)}>; rel="monitor"'}
    if job.state.is_end:
        response = _answer_end(context, job, gate)
    elif gate is not None:
        raise ProblemError(unfinished(job, HTTPStatus.SERVICE_UNAVAILABLE), headers | come_back(job))
    else:
        body = view(job).model_dump(mode="json")
        response = JSONResponse(body, HTTPStatus.ACCEPTED, {"Retry-After": str(RETRY_SECONDS)})
    response.headers.update(headers)
    return response


# ------------------------------------------------------------------ ends


def _answer_end(context: Context, job: Job, gate: Gate | None, kind: str = JSON, known: str = "") -> Response:
    """The report of a job that succeeded, through the gate; the problem of any other."""
    content, report = _report(context, job)
    return answer(content, report, gate, kind, known)


def _report(context: Context, job: Job) -> tuple[bytes, Report]:
    """Of a job that succeeded; raises the problem of any other."""
    if job.state is not State.SUCCEEDED or job.report_sha256 is None:
        raise ProblemError(stored_problem(job))
    content = context.objects.get(job.report_sha256)
    return content, Report.from_json(content)


def _model_of(context: Context, job: Job, name: str) -> ModelFile:
    """The file of a variant; raises 404 with the reason."""
    _, report = _report(context, job)
    variant = next((each for each in report.variants if each.id == name), None)
    if variant is None:
        known = ", ".join(each.id for each in report.variants if each.model is not None)
        raise refusal("not-found", HTTPStatus.NOT_FOUND, "there is no such variant", where=name[:100], hint=known)
    if variant.model is None or SHA256.fullmatch(variant.model.sha256) is None:
        left_out = {each.what: each.why for each in report.left_out}
        why = left_out.get(f"model of {name}") or variant.reason or variant.absent.get("model", "it was not kept")
        raise refusal("no-model", HTTPStatus.NOT_FOUND, f"this variant has no model: {why}", where=name)
    return variant.model
