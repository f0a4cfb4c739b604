"""Analyses: submit a model and a batch, wait, ask, fetch the report."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from analysis.render.formats import JSON
from analysis.report import Report
from analysis.report.gate import Gate
from service.api.accept import OFFERED, VARY, preferred
from service.api.admission import admit_body, admit_callback, admit_job
from service.api.answers import FailOn, Form, answer_end, gate_of
from service.api.caching import CACHE_STATUS, age_of, cache_status
from service.api.context import Parts, parts_of, tenant_of
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.labels import labels_of
from service.api.rates import limited
from service.api.sending import View, form_of, send_report
from service.api.waiting import ASYNC, RETRY_SECONDS, Wait, find_job, not_yet, patience, wait_for
from service.intake.multipart import receive
from service.intake.submission import Submitted, submit
from service.jobs.blobs import blobs_of
from service.notify.targets import LONGEST
from service.schemas import JobView, job_path, view

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])
Callback = Annotated[
    str | None,
    Query(max_length=LONGEST, description="A URL that is told when the analysis has ended (Standard Webhooks)"),
]
UPLOAD_FORM: Final = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "model": {
                        "type": "string",
                        "format": "binary",
                        "description": "an ONNX model; required, unless `blobs` names it",
                    },
                    "batch": {
                        "type": "string",
                        "format": "binary",
                        "description": "npz, npy, safetensors, TensorProto or Open Inference JSON; without it a batch "
                        "is made up",
                    },
                    "options": {"type": "string", "description": "JSON, see /v1/schema/options"},
                    "external_data": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "files that tensors of the model lie in, each under the name the model has for "
                        "it; the part is repeated",
                    },
                    "blobs": {
                        "type": "string",
                        "description": "JSON: files that were sent ahead (PUT /v1/blobs/{sha256}), in place of the "
                        "parts of the same names",
                        "examples": ['{"model": "<sha256>", "external_data": {"weights.bin": "<sha256>"}}'],
                    },
                },
            },
            "example": {
                "model": "(bytes of model.onnx)",
                "batch": "(bytes of batch.npz)",
                "options": '{"seed": 0}',
                "external_data": ["(bytes of weights.bin)"],
            },
        }
    },
}


@router.post(
    "",
    operation_id="analyze",
    summary="Analyse a model",
    response_model=Report,
    responses={
        202: {"model": JobView, "description": "Not finished yet, or `Prefer: respond-async`: ask at Location"},
        400: PROBLEM | {"description": "The model, batch or options are refused"},
        408: PROBLEM | {"description": "The upload stalled"},
        411: PROBLEM | {"description": "Bytes are counted, and there is no Content-Length"},
        413: PROBLEM | {"description": "Too large"},
        415: PROBLEM | {"description": "Not multipart/form-data"},
        422: PROBLEM
        | {
            "model": Report,
            "description": "With fail_on: the report fails the gate. As a problem: unsupported operators, a blob that "
            "you have not, or an Idempotency-Key used for another request",
        },
        429: PROBLEM | {"description": "Too many of your own analyses wait, or too many submissions"},
        503: PROBLEM | {"description": "Too many analyses wait; with fail_on: no verdict yet, ask at Location"},
        507: PROBLEM | {"description": "The disk has no room for it"},
        "default": ANY_OTHER,
    },
    openapi_extra={"requestBody": UPLOAD_FORM},
    dependencies=[Depends(limited)],
)
async def analyze(
    request: Request,
    labels: Annotated[dict[str, str], Depends(labels_of)],
    fail_on: FailOn = None,
    wait: Wait = None,
    view: View = "full",
    callback: Callback = None,
    prefer: Annotated[str | None, Header()] = None,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Response:
    """Upload `model` and `batch`; waits for the report, or answers 202 with the job."""
    parts, gate = parts_of(request), gate_of(fail_on)
    told = admit_callback(parts.settings, callback)
    admit_body(parts.settings, request.headers)
    tenant = tenant_of(request)
    sizes = partial(_blob_sizes, parts, tenant)
    upload = await receive(request.headers, request.stream(), parts.objects, parts.upload_limits, sizes=sizes)
    whose = partial(submit, store=parts.store, tenant=tenant, labels=labels, size_of=parts.objects.size, callback=told)
    whose = partial(whose, quota=partial(admit_job, parts), most=parts.settings.max_queued_jobs_per_tenant)
    age = age_of(request, parts.settings)
    made = await run_sync(partial(whose, upload, key=idempotency_key, rejoin=gate is not None, age=age))
    parts.metrics.looked(made.reuse)
    seconds, applied = patience(parts.settings, wait, prefer)
    made = replace(made, job=await wait_for(parts, made.job, seconds))
    return await run_sync(_answer_submission, parts, made, gate, applied, form_of(request, view=view))


@router.get(
    "/{job_id}",
    operation_id="get_analysis",
    summary="A job",
    response_model=JobView,
    responses={404: PROBLEM, "default": ANY_OTHER},
)
async def get_analysis(request: Request, job_id: str) -> JobView:
    """State and progress."""
    return view(await run_sync(find_job, parts_of(request).store, tenant_of(request), job_id))


@router.get(
    "/{job_id}/report",
    operation_id="get_report",
    summary="The report alone, as JSON or in another format",
    response_model=Report,
    responses={
        200: {
            "content": {
                each.media_type: {"schema": {"type": "string"}} for each in OFFERED.values() if each is not JSON
            },
            "description": "The report, as JSON or in another format",
        },
        304: {"description": "If-None-Match names what would be sent"},
        400: PROBLEM | {"description": "The query is refused"},
        404: PROBLEM,
        406: PROBLEM | {"description": "None of the formats is accepted"},
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
    view: View = "full",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """The report of a finished job: JSON, or what Accept asks for. A failed job answers with its problem."""
    kind = preferred(request.headers.getlist("accept"))
    return await send_report(request, job_id, form_of(request, kind, view, if_none_match), fail_on, wait)


def _blob_sizes(parts: Parts, tenant: str, names: Collection[str]) -> dict[str, int]:
    return {name: kept.size for name, kept in blobs_of(parts.store, tenant, names).items()}


def _answer_submission(parts: Parts, made: Submitted, gate: Gate | None, applied: str | None, form: Form) -> Response:
    """The report; the job where that is not there, or only the job was asked for."""
    job, headers = made.job, {} if applied is None else {"Preference-Applied": applied}
    headers |= {"Location": job_path(job.id), "Link": f'<{job_path(job.id)}>; rel="monitor"'}
    headers[CACHE_STATUS] = cache_status(made.reuse)
    if job.state.is_end and (applied != ASYNC or gate is not None):
        response = answer_end(parts.objects, job, gate, form)
        response.headers.update(VARY)
    elif not job.state.is_end and gate is not None:
        raise not_yet(job, gated=True, headers=headers)
    else:
        body = view(job).model_dump(mode="json")
        response = JSONResponse(body, HTTPStatus.ACCEPTED, {"Retry-After": str(RETRY_SECONDS)})
    response.headers.update(headers)
    return response
