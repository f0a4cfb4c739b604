"""uvicorn, set up for this service: one process, limits on every connection, an end within a known time."""

import socket
from functools import partial
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette

from service.drain import Drain
from service.server.protocol import GuardedProtocol, HeaderLimits, Untaken
from service.settings import Settings

OVERTIME_SECONDS: Final = 3
"""After the drain, for answers that are being sent; then their tasks are cancelled."""


class Server(uvicorn.Server):
    """One that tells the parts of the service when it stops, and then waits for requests that are under way."""

    def __init__(self, config: uvicorn.Config, drain: Drain) -> None:
        super().__init__(config)
        self._drain = drain

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._drain.begin()
        await super().shutdown(sockets)


def make_server(app: Starlette, settings: Settings, drain: Drain) -> Server:
    """A server that has not started."""
    limits = HeaderLimits(settings.max_header_bytes, settings.header_seconds)
    protocol: Any = partial(GuardedProtocol, limits, Untaken())
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,  # they say it through the log of the whole process
        log_level="info",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.drain_seconds) + OVERTIME_SECONDS,
    )
    return Server(config, drain)
