"""The HTTP service with its embedded supervisor; other commands do not load what it is made of."""

import logging
import socket
import threading
from typing import Any

import typer
import uvicorn
from pydantic import ValidationError

from service.app import create_app
from service.runners.embedded import embedded_supervisor
from service.settings import Settings


def serve_until_interrupted(**given: Any) -> None:
    """`given`: settings of the command line, None where nothing is said. Raises typer's errors."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors())
        raise typer.BadParameter(wrong) from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        app = create_app(settings, embedded_supervisor)
        listener = _listener(settings)
    except OSError as error:
        where = f"on {settings.host} port {settings.port} from {settings.data_dir}"
        typer.echo(f"error: cannot serve {where}: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    address = f"[{settings.host}]" if ":" in settings.host else settings.host
    typer.echo(f"listening on http://{address}:{listener.getsockname()[1]}")
    config = uvicorn.Config(app, log_level="info", access_log=False)
    _Server(config, app.state.parts.stopping).run(sockets=[listener])


class _Server(uvicorn.Server):
    """One that waits for open requests when it stops: those that wait for a report are told not to."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop."""
        self._stopping.set()
        await super().shutdown(sockets)


def _listener(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen()  # uvicorn does so later: whoever reads the address may connect at once
    except OSError:
        listener.close()
        raise
    return listener
