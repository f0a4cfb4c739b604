"""Every request has an id and a trace, and whoever changes something is written down.

    X-Request-Id    the client's own, or a new one; in the answer and in whatever the log says meanwhile
    traceparent     W3C Trace Context: its trace id, or the request's id, goes along with the job; where spans are
                    sent, that of the request's own span

The audit log has a line for every request that is no mere question, and for every one that was not let in: who (the id
of an API key, the subject of a token), for which tenant, what, on which path, and how it ended. Never a body, query or
secret.
"""

import logging
import re
import time
import uuid
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access.caller import Caller
from service.jobs.job import DEFAULT_TENANT
from service.logs import AUDIT, about, say
from service.tracing.tracer import RequestSpan, Tracer, within

HEADER: Final = "X-Request-Id"
HEADERS: Final = "headers"
"""Of the state of a request: what its answer is to have, whatever that is."""
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACE: Final = re.compile(r"[0-9a-f]{2}-((?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})(-.*)?")
ASKING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
SHUT_OUT: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})
ANYBODY: Final = "anybody"
log = logging.getLogger(__name__)
audit = logging.getLogger(AUDIT)


class Identified:
    """The application behind it says what it says with the ids of the request."""

    def __init__(self, app: ASGIApp, *, requests: bool, tracer: Tracer | None = None) -> None:
        """`requests`: a line for each of them, too; `tracer`: a span."""
        self._app = app
        self._requests = requests
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, started, status = Headers(scope=scope), time.perf_counter(), 500
        request_id = _request_id(headers)
        span = self._span(scope, headers)
        trace_id, parent = _trace(headers, request_id) if span is None else (span.trace_id, span.traceparent)
        scope.setdefault("state", {})

        async def identified_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update({HEADER: request_id, **scope["state"].get(HEADERS, {})})
            await send(message)

        with about(request_id=request_id, trace_id=trace_id), within(parent):
            try:
                await self._app(scope, receive, identified_send)
            finally:
                self._note(scope, status, time.perf_counter() - started)
                if span is not None:
                    span.answered(getattr(scope.get("route"), "path", "none"), status)

    def _span(self, scope: Scope, headers: Headers) -> RequestSpan | None:
        """Where spans are sent; of probes none is."""
        if self._tracer is None or scope["path"] in PROBES:
            return None
        return self._tracer.request(scope["method"], headers)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method, path, route = scope["method"], scope["path"], scope.get("route")
        if method not in ASKING or status in SHUT_OUT:
            caller = scope["state"].get("caller")
            who, tenant = (caller.id, caller.tenant) if isinstance(caller, Caller) else (ANYBODY, DEFAULT_TENANT)
            action = getattr(route, "operation_id", None) or getattr(route, "name", None) or "none"
            say(audit, "audit", who=who, tenant=tenant, action=action, method=method, path=path[:200], status=status)
        if self._requests and path not in PROBES:
            place = getattr(route, "path", "none")
            say(log, "request", method=method, route=place, status=status, seconds=round(seconds, 4))


def _request_id(headers: Headers) -> str:
    given = headers.get(HEADER, "")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _trace(headers: Headers, request_id: str) -> tuple[str, str | None]:
    """The trace of a request, and its place in it where it has one."""
    found = TRACE.fullmatch(headers.get("traceparent", ""))
    return (_as_trace(request_id), None) if found is None else (found[2], f"00-{found[1]}")


def _as_trace(request_id: str) -> str:
    """An id that may have been chosen by a client, in the form of a trace's."""
    return request_id if re.fullmatch("[0-9a-f]{32}", request_id) else uuid.uuid5(uuid.NAMESPACE_OID, request_id).hex
