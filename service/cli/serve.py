"""`gradient-health serve`: the HTTP service with its embedded supervisor."""

import logging
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from service.app import create_app
from service.runners.embedded import embedded_supervisor
from service.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where jobs, uploads and reports are kept.")] = None,
) -> None:
    """Serve the API until interrupted."""
    given: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((settings.host, settings.port))
    typer.echo(f"listening on http://{settings.host}:{listener.getsockname()[1]}")
    config = uvicorn.Config(create_app(settings, embedded_supervisor), log_level="info", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
