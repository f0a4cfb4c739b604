"""Blobs: files that are sent ahead, once, and named in as many analyses as one likes."""

from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from service.api.admission import admit_blob, admit_body, too_many_blobs
from service.api.context import Parts, parts_of, tenant_of
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.rates import limited
from service.intake.blobs import SHA256, receive_blob
from service.intake.submission import vanished
from service.jobs.blobs import Kept, blobs_of, keep_blob
from service.jobs.holding import QuotaError, VanishedError
from service.problems import refusal

router = APIRouter(prefix="/v1/blobs", tags=["blobs"])
Name = Annotated[str, Path(pattern=SHA256, description="of the bytes, in lower-case hexadecimal")]
BODY: Final = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
LOCATION: Final[dict[str, Any]] = {"headers": {"Location": {"schema": {"type": "string"}}}}


class BlobView(BaseModel):
    """A blob of one's own."""

    sha256: str
    size: int
    kept_until: datetime
    """At least; where an analysis is about it, as long as there is that."""


@router.put(
    "/{sha256}",
    operation_id="put_blob",
    summary="Send a file ahead",
    response_model=BlobView,
    responses={
        201: LOCATION | {"model": BlobView, "description": "It is there, and was not before"},
        400: PROBLEM | {"description": "The body has another sha256"},
        408: PROBLEM | {"description": "The upload stalled"},
        411: PROBLEM | {"description": "Bytes are counted, and there is no Content-Length"},
        413: PROBLEM | {"description": "Too large"},
        415: PROBLEM | {"description": "The body is compressed"},
        429: PROBLEM | {"description": "Your own blobs take what they may, or too many submissions"},
        503: PROBLEM | {"description": "Removed at this very moment: send it again"},
        507: PROBLEM | {"description": "The disk has no room for it"},
        "default": ANY_OTHER,
    },
    openapi_extra={"requestBody": BODY},
    dependencies=[Depends(limited)],
)
async def put_blob(request: Request, sha256: Name) -> JSONResponse:
    """The bytes as they are; a second time keeps them for longer. `blobs` of a submission names them."""
    parts, tenant = parts_of(request), tenant_of(request)
    admit_body(parts.settings, request.headers)
    await run_sync(admit_blob, parts, tenant, request.headers)
    blob = await receive_blob(request.headers, request.stream(), sha256, parts.objects, parts.upload_limits)
    is_new = await run_sync(partial(_keep, parts, tenant, blob.sha256))
    body = BlobView.model_validate(await run_sync(_find, parts, tenant, sha256), from_attributes=True)
    status = HTTPStatus.CREATED if is_new else HTTPStatus.OK
    return JSONResponse(body.model_dump(mode="json"), status, {"Location": f"/v1/blobs/{sha256}"})


@router.get(
    "/{sha256}",
    operation_id="get_blob",
    summary="Whether a file was sent ahead",
    response_model=BlobView,
    responses={404: PROBLEM | {"description": "You have no such blob"}, "default": ANY_OTHER},
)
async def get_blob(request: Request, sha256: Name) -> BlobView:
    """Of your own ones; `HEAD` says as much by its status."""
    kept = await run_sync(_find, parts_of(request), tenant_of(request), sha256)
    return BlobView.model_validate(kept, from_attributes=True)


def _keep(parts: Parts, tenant: str, sha256: str) -> bool:
    try:
        settings = parts.settings
        most = settings.max_blob_bytes_per_tenant
        return keep_blob(parts.store, tenant, sha256, parts.objects.size, settings.orphan_seconds, most)
    except QuotaError as error:
        raise too_many_blobs(settings) from error
    except VanishedError as error:
        raise vanished() from error


def _find(parts: Parts, tenant: str, sha256: str) -> Kept:
    kept = blobs_of(parts.store, tenant, [sha256]).get(sha256)
    if kept is None:
        raise refusal(
            "no-such-blob", HTTPStatus.NOT_FOUND, "there is no such blob", where=sha256, hint="PUT sends it ahead"
        )
    return kept
