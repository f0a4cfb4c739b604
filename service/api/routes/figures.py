"""What the service has done, for whoever operates it: figures of all tenants together."""

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from service.api.context import parts_of
from service.api.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    operation_id="metrics",
    summary="Figures for Prometheus",
    response_class=PlainTextResponse,
)
async def get_metrics(request: Request) -> Response:
    """Requests of this process; jobs, workers and the disk at this moment."""
    return Response(await run_sync(parts_of(request).metrics.text), media_type=CONTENT_TYPE)
