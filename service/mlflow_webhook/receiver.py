"""What MLflow asks: one POST, answered before anything is done.

    202    accepted: will be analysed
    200    passed over: no event, or no model, that is looked at here
    503    no room: MLflow tries again
    400, 401, 408, 409, 413, 422    turned away

A GET of /healthz says how many versions wait.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field, ValidationError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.mlflow.versions import Version
from service.mlflow_webhook.analyst import Analyst
from service.mlflow_webhook.deliveries import Deliveries, NotAccepted
from service.problems import MEDIA_TYPE, problem

LOG: Final = logging.getLogger("service.mlflow_webhook")
MOST_BYTES: Final = 1 << 20
"""Of a body: MLflow's are some hundred bytes, a description and tags may make them longer."""
BODY_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 30


class Registered(BaseModel):
    """Of the payload, what is read: the rest is asked of the registry."""

    name: Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")]
    version: Annotated[str, Field(pattern="^[0-9]{1,18}$")]


class Event(BaseModel):
    """Any event."""

    entity: str
    action: str


class Created(BaseModel):
    """A new version."""

    entity: Literal["model_version"]
    action: Literal["created"]
    data: Registered


def make_receiver(
    deliveries: Deliveries,
    analyst: Analyst,
    only: Sequence[str] = (),
) -> Starlette:
    """The application; the analyst works as long as it serves.

    `only`: patterns of names of registered models, all of them where none is given.
    """

    async def receive(request: Request) -> Response:
        try:
            body = await _body_of(request)
            delivery = deliveries.check(request.headers, body)
            version = _version_in(body, only)
            if version is None:
                deliveries.accept(delivery)
                LOG.info("delivery %s passed over", delivery)
                return JSONResponse({"state": "passed over"})
            if not analyst.has_room():
                why = "as many versions as are taken wait already"
                raise NotAccepted(HTTPStatus.SERVICE_UNAVAILABLE, why)  # noqa: TRY301 - turned away as all others are
            deliveries.accept(delivery)
        except NotAccepted as error:
            LOG.warning("a request is turned away: %s", error)
            return _refusal(error)
        LOG.info("%s: accepted (delivery %s)", version, delivery)
        told = {"state": "accepted", "model": version.name, "version": version.number}
        behind = BackgroundTask(analyst.take, version) if analyst.expect(version) else None
        return JSONResponse(told, HTTPStatus.ACCEPTED, background=behind)

    async def alive(_: Request) -> Response:
        return JSONResponse({"waiting": analyst.waiting})

    @asynccontextmanager
    async def working(_: Starlette) -> AsyncIterator[None]:
        analyst.start()
        try:
            yield
        finally:
            await run_in_threadpool(analyst.stop)

    return Starlette(routes=[Route("/", receive, methods=["POST"]), Route("/healthz", alive)], lifespan=working)


async def _body_of(request: Request) -> bytes:
    """Whole, within limits of size and time. Raises NotAccepted."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise NotAccepted(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {MOST_BYTES} bytes")
    except TimeoutError as error:
        raise NotAccepted(HTTPStatus.REQUEST_TIMEOUT, "the body did not come to its end in time") from error
    except ClientDisconnect as error:
        raise NotAccepted(HTTPStatus.BAD_REQUEST, "the body was not sent to its end") from error
    return bytes(body)


def _version_in(body: bytes, only: Sequence[str]) -> Version | None:
    """The new version that it tells of; None for other events and other models. Raises NotAccepted."""
    try:
        event = Event.model_validate_json(body)
        if (event.entity, event.action) != ("model_version", "created"):
            return None
        data = Created.model_validate_json(body).data
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise NotAccepted(HTTPStatus.UNPROCESSABLE_ENTITY, f"no event of MLflow: {where}: {first['msg']}") from error
    if only and not any(fnmatchcase(data.name, pattern) for pattern in only):
        return None
    return Version(data.name, data.version)


def _refusal(error: NotAccepted) -> Response:
    told = problem("webhook-" + error.status.name.lower().replace("_", "-"), error.status, str(error))
    headers = {"Retry-After": str(RETRY_SECONDS)} if error.status is HTTPStatus.SERVICE_UNAVAILABLE else {}
    content = told.model_dump(exclude_none=True)
    return JSONResponse(content, error.status, headers=headers, media_type=MEDIA_TYPE)
