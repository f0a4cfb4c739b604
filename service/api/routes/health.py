"""Whether the process lives, and whether it can do its work."""

from collections.abc import Mapping
from http import HTTPStatus

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from analysis.version import VERSION
from service.api.context import Parts, parts_of
from service.worker.checkup import noted_states

router = APIRouter(tags=["health"])


@router.get("/healthz", operation_id="healthz", summary="Whether the process answers")
async def healthz() -> dict[str, str]:
    """Always ok: whoever reads this has an answer."""
    return {"status": "ok", "version": VERSION}


class Readiness(BaseModel):
    """Whether analyses can run, and what of it cannot."""

    status: str
    checks: Mapping[str, str]
    sandbox: Mapping[str, str]


@router.get(
    "/readyz",
    operation_id="readyz",
    summary="Whether analyses can run",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Not at the moment"}},
)
async def readyz(request: Request) -> JSONResponse:
    """Database, storage and workers, each with its state, and the layers that confine an analysis.

    Workers elsewhere may come when there is something to do.
    """
    parts = parts_of(request)
    checks = await run_sync(_checks, parts)
    sandbox = await run_sync(noted_states, parts.settings.data_dir)
    told = {"workers"} if parts.settings.runner != "embedded" else set()
    ready = all(state == "ok" for what, state in checks.items() if what not in told)
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"status": "ok" if ready else "unavailable", "checks": checks, "sandbox": sandbox}, status)


def _checks(parts: Parts) -> dict[str, str]:
    checks = {"storage": _storage(parts)}
    if parts.drain.begun:
        checks["server"] = "stopping"
    try:
        parts.store.ping()
        workers = parts.store.workers()
    except SQLAlchemyError as error:
        return {**checks, "database": type(error).__name__, "workers": "unknown"}
    state = "ok" if any(workers.values()) else "starting" if workers else "none"
    return {**checks, "database": "ok", "workers": state}


def _storage(parts: Parts) -> str:
    try:
        parts.objects.check()
        return "ok" if parts.settings.has_reserve() else "too little room on the disk"
    except OSError:
        return "not writable"
