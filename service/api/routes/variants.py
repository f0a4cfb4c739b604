"""Variants of an analysis: what each showed, and its repaired model."""

import re
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request
from fastapi.responses import FileResponse, Response
from starlette.background import BackgroundTask

from analysis.facts import ModelFile
from analysis.report import Report, Variant
from service.api.answers import stored_report
from service.api.context import parts_of, tenant_of
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.waiting import find_job, not_yet
from service.jobs.job import Job
from service.objects.blob import Objects
from service.problems import refusal

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])
ONNX: Final = "application/onnx"
BYTES: Final = "application/octet-stream"
"""What clients ask for whose generator knows no other name of bytes."""
SHA256: Final = re.compile("[0-9a-f]{64}")


@router.get(
    "/{job_id}/variants/{variant}",
    operation_id="get_variant",
    summary="One variant of the report, whole",
    response_model=Variant,
    responses={
        404: PROBLEM | {"description": "There is no such analysis, or no such variant"},
        409: PROBLEM | {"description": "Not finished yet"},
        "default": ANY_OTHER,
    },
)
async def get_variant(request: Request, job_id: str, variant: str) -> Response:
    """For whoever reads the summary, and of the variants, nearly all of a report, the few that matter."""
    parts = parts_of(request)
    job = await run_sync(find_job, parts.store, tenant_of(request), job_id)
    if not job.state.is_end:
        raise not_yet(job, gated=False)
    _, found = await run_sync(_variant_of, parts.objects, job, variant)
    return Response(b"".join(found.json_pieces()), media_type="application/json")


@router.get(
    "/{job_id}/variants/{variant}/model.onnx",
    operation_id="get_variant_model",
    summary="A repaired model",
    response_class=FileResponse,
    responses={
        200: {
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in (BYTES, ONNX)},
            "description": f"The model as ONNX; its metadata say what was done to which. Without Accept it is {ONNX}",
        },
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
    parts = parts_of(request)
    job = await run_sync(find_job, parts.store, tenant_of(request), job_id)
    if not job.state.is_end:
        raise not_yet(job, gated=False)
    file = await run_sync(_model_of, parts.objects, job, variant)
    headers = {"ETag": f'"{file.sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match is not None and file.sha256 in if_none_match:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    name = f"{Path(job.question.model_name).stem}.{variant}.onnx"
    reading = ExitStack()
    path = await run_sync(reading.enter_context, parts.objects.local(file.sha256))
    done = BackgroundTask(reading.close)
    kind = BYTES if BYTES in request.headers.get("accept", "") else ONNX
    return FileResponse(path, headers=headers, media_type=kind, filename=name, background=done)


def _variant_of(objects: Objects, job: Job, name: str) -> tuple[Report, Variant]:
    """A variant and its report; raises 404 with those that have a model."""
    _, report = stored_report(objects, job)
    variant = next((each for each in report.variants if each.id == name), None)
    if variant is None:
        known = ", ".join(each.id for each in report.variants if each.model is not None)
        raise refusal("not-found", HTTPStatus.NOT_FOUND, "there is no such variant", where=name[:100], hint=known)
    return report, variant


def _model_of(objects: Objects, job: Job, name: str) -> ModelFile:
    """The file of a variant; raises 404 with the reason."""
    report, variant = _variant_of(objects, job, name)
    if variant.model is None or SHA256.fullmatch(variant.model.sha256) is None:
        left_out = {each.what: each.why for each in report.left_out}
        why = left_out.get(f"model of {name}") or variant.reason or variant.absent.get("model", "it was not kept")
        raise refusal("no-model", HTTPStatus.NOT_FOUND, f"this variant has no model: {why}", where=name)
    return variant.model
