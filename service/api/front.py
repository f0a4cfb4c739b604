"""What is settled before a route is asked: the host that was meant, HEAD and OPTIONS.

A page of a stranger can make a browser ask this service under a name of its own (DNS rebinding); what is not asked
under a name of ours is not for us. HEAD is GET without the body, on every path; OPTIONS says what a path takes.
"""

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.handlers import respond
from service.api.methods import allowed_methods
from service.problems import problem

ANY_HOST: Final = "*"
HOST: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::\d*)?", re.ASCII)


class Front:
    """The application behind it sees GET in place of HEAD, and no OPTIONS."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str]) -> None:
        """`hosts`: names without ports that requests may be for, or `*`."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            inner = {**scope, "method": "GET"}  # a copy: the server goes by the method as well
            await self._settle(inner, receive, _without_body(send))
            scope["route"] = inner.get("route")
        else:
            await self._settle(scope, receive, send)

    async def _settle(self, scope: Scope, receive: Receive, send: Send) -> None:
        hosts = Headers(scope=scope).getlist("host")
        host = ", ".join(hosts)  # of several, each of those on the way may take another one for the one that counts
        if len(hosts) > 1 or (ANY_HOST not in self._hosts and _name_of(host) not in self._hosts):
            await _misdirected(scope["path"], host)(scope, receive, send)
        elif scope["method"] == "OPTIONS" and (methods := allowed_methods(scope["app"], scope)):
            await Response(None, HTTPStatus.NO_CONTENT, {"Allow": ", ".join(methods)})(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _name_of(host: str) -> str:
    """A Host header without its port, an IPv6 address without its brackets; empty where it is neither."""
    found = HOST.fullmatch(host)
    return "" if found is None else (found[1] or found[2]).lower().rstrip(".")


def _misdirected(path: str, host: str) -> Response:
    detail = f"this service is not {host[:100]!r}" if host else "the request has no Host header"
    told = problem(
        "misdirected-request",
        HTTPStatus.MISDIRECTED_REQUEST if host else HTTPStatus.BAD_REQUEST,
        detail,
        where="Host",
        hint="whoever runs it names its hosts in GRADIENT_HEALTH_ALLOWED_HOSTS",
    )
    return respond(told.model_copy(update={"instance": path}))


def _without_body(send: Send) -> Send:
    """Ends the answer after its headers."""
    ended = False

    async def head_only(message: Message) -> None:
        nonlocal ended
        if message["type"] == "http.response.start":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body", "body": b""})

    return head_only
