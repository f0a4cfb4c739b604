"""Progress as it happens, for clients that keep a connection open."""

from http import HTTPStatus
from typing import Annotated, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request
from fastapi.responses import Response, StreamingResponse

from service.api.context import parts_of, tenant_of
from service.api.events import event_id, events
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.waiting import find_job

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])
EVENT_STREAM: Final = "text/event-stream"
EVENT: Final = {
    "type": "object",
    "description": "one event",
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["progress", "end", "deleted"]},
        "data": {"type": "string", "description": "the job as JSON, of a deleted one the problem"},
    },
}
UNBUFFERED: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@router.get(
    "/{job_id}/events",
    operation_id="follow_analysis",
    summary="Progress as server-sent events",
    response_class=Response,
    responses={
        200: {
            "content": {EVENT_STREAM: {"schema": EVENT}},
            "description": "`progress` and at last `end`, each with the job as data",
        },
        204: {"description": "Last-Event-ID was the end: there is nothing to reconnect for"},
        404: PROBLEM,
        410: PROBLEM | {"description": "It was deleted"},
        "default": ANY_OTHER,
    },
)
async def follow_analysis(
    request: Request, job_id: str, last_event_id: Annotated[str | None, Header(max_length=100)] = None
) -> Response:
    """The job whenever it has changed; a client that reconnects with `Last-Event-ID` is told nothing twice."""
    parts = parts_of(request)
    job = await run_sync(find_job, parts.store, tenant_of(request), job_id)
    if job.state.is_end and event_id(job) == last_event_id:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return StreamingResponse(events(parts, job, last_event_id), headers=UNBUFFERED, media_type=EVENT_STREAM)
