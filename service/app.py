"""The application: wiring and nothing else. The web process never loads torch."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from analysis.errors import AnalysisError
from analysis.version import VERSION
from service.api import handlers
from service.api.authentication import REFUSALS, authenticate
from service.api.context import Parts
from service.api.ends import Ends, Looks
from service.api.front import Front
from service.api.identified import Identified
from service.api.metrics import Counted, Metrics
from service.api.openapi import Application
from service.api.origin import from_our_own
from service.api.routes import (
    analyses,
    blobs,
    catalogue,
    comparisons,
    events,
    figures,
    health,
    jobs,
    limits,
    reports,
    variants,
)
from service.database import AWAY
from service.drain import Drain
from service.jobs.store import Store
from service.notify.targets import allowed_hosts
from service.objects.place import objects_of
from service.pages import routes as pages
from service.problems import ProblemError
from service.settings import Settings
from service.startup import needing_extra
from service.tracing.tracer import Tracer

if TYPE_CHECKING:
    from service.access.tokens import Issuer

ANY_PROBLEM: Final[dict[int | str, dict[str, Any]]] = {"default": handlers.ANY_OTHER}
Runner = Callable[[Settings], AbstractContextManager[None]]
BUSY_SECONDS: Final = 5.0
"""So long a request waits for a locked job table before it is told to come back."""
DESCRIPTION = "Measures how gradients travel through an ONNX model, says what is wrong, and proves which cure helps."


def no_runner(settings: Settings) -> AbstractContextManager[None]:
    """Jobs are claimed by somebody else."""
    return nullcontext()


def _webhooks(parts: Parts) -> AbstractContextManager[None]:
    """Whoever is to be told of the ends of jobs is, where anybody is."""
    if not allowed_hosts(parts.settings):
        return nullcontext()
    from service.notify.webhooks import telling  # noqa: PLC0415 - an HTTP client, which few need

    return telling(parts.settings, parts.metrics.told)


def _issuer(settings: Settings) -> "Issuer | None":
    """Whose tokens open anything. Raises CannotStartError."""
    if not settings.takes_tokens:
        return None
    with needing_extra("auth"):
        from service.access.tokens import issuer_of  # noqa: PLC0415 - an HTTP client and cryptography, which few need

    return issuer_of(settings)


def create_app(settings: Settings, runner: Runner = no_runner, tracer: Tracer | None = None) -> FastAPI:
    """An application over a data folder; `runner` sees to it that jobs are computed, `tracer` takes spans."""
    allowed_hosts(settings.prepare())  # what is missing is said before anything starts
    issuer = _issuer(settings)
    store, drain = Store(settings.database, BUSY_SECONDS), Drain(settings.drain_seconds)
    objects = objects_of(store.engine, settings)
    ends, looks = Ends(store.going_on, drain), Looks(store.standing)
    parts = Parts(settings, store, objects, drain, Metrics(store, settings), ends, looks, issuer)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if issuer is not None:
            issuer.keys.warm_up()
        with runner(settings), _webhooks(parts):
            yield
        parts.store.close()
        if tracer is not None:
            tracer.close()  # here, as the server ends by the signal that it was told to stop by

    app = Application(
        title="gradient-health",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.parts = parts
    app.add_middleware(Front, hosts=settings.hosts)
    app.add_middleware(Counted, metrics=parts.metrics)
    app.add_middleware(Identified, requests=settings.log_format == "json", tracer=tracer)
    guard, refusals = (authenticate, REFUSALS) if settings.needs_keys else (from_our_own, {})
    for routes in (analyses, jobs, events, reports, variants, blobs, comparisons, catalogue, limits, figures):
        app.include_router(routes.router, dependencies=[Depends(guard)], responses=refusals | ANY_PROBLEM)
    app.include_router(health.router, responses=ANY_PROBLEM)  # probes have no key
    app.include_router(pages.router)  # for people, each with its own guard
    app.add_exception_handler(ProblemError, handlers.answer_problem)
    app.add_exception_handler(AnalysisError, handlers.answer_analysis_error)
    app.add_exception_handler(HTTPException, handlers.answer_http_error)
    app.add_exception_handler(RequestValidationError, handlers.answer_validation_error)
    for kind in AWAY:
        app.add_exception_handler(kind, handlers.answer_database_error)
    app.add_exception_handler(OSError, handlers.answer_full_disk)
    app.add_exception_handler(ClientDisconnect, handlers.answer_disconnect)
    app.add_exception_handler(Exception, handlers.answer_bug)
    return app
