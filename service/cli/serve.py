"""`gradient-health serve`: the HTTP service with its embedded supervisor."""

import logging
import socket
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from service.app import create_app
from service.runners.embedded import embedded_supervisor
from service.server.server import make_server
from service.settings import Settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where jobs, uploads and reports are kept.")] = None,
) -> None:
    """Serve the API until interrupted."""
    given: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir}
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
    make_server(app, settings, app.state.parts.drain).run(sockets=[listener])


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
