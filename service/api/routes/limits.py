"""What this installation allows, so that a client can know before it sends."""

from fastapi import APIRouter, Request

from service.api.context import parts_of
from service.schemas import Limits

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/limits", operation_id="limits", summary="What this installation allows")
async def get_limits(request: Request) -> Limits:
    """Bytes, seconds and jobs."""
    return Limits.model_validate(parts_of(request).settings, from_attributes=True)
