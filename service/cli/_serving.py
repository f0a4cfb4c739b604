"""The HTTP service with its embedded supervisor; other commands do not load what it is made of."""

import os
from typing import Any, Final

import typer
from pydantic import ValidationError

from service import logs
from service.app import create_app
from service.runners.celery import publishing
from service.runners.embedded import embedded_supervisor
from service.runners.polling import polling
from service.server.listener import listen, url_of
from service.server.server import make_server
from service.settings import Settings
from service.startup import CannotStartError
from service.tracing.tracer import tracer_of

RUNNERS: Final = {"embedded": embedded_supervisor, "poll": polling, "celery": publishing}
EXPOSED: Final = (
    "{host} can be reached from elsewhere, and GRADIENT_HEALTH_AUTH is none: set GRADIENT_HEALTH_AUTH=keys and make "
    "keys with `gradient-health keys create`, serve on 127.0.0.1, or, where something else keeps strangers out, set "
    "GRADIENT_HEALTH_ALLOW_UNPROTECTED=1"
)


def serve_until_interrupted(**given: Any) -> None:
    """`given`: settings of the command line, None where nothing is said. Raises typer's errors."""
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg'].lower()}" for each in error.errors())
        raise typer.BadParameter(wrong) from error
    if settings.is_exposed:
        raise typer.BadParameter(EXPOSED.format(host=settings.host or "every address"))
    logs.configure(settings.log_format, settings.audit_file)
    tracer = tracer_of(os.environ)
    try:
        app = create_app(settings, RUNNERS[settings.runner], tracer)
        listener = listen(settings.host, settings.port)
    except OSError as error:
        where = f"on {settings.host} port {settings.port} from {settings.data_dir}"
        typer.echo(f"error: cannot serve {where}: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    except CannotStartError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"listening on {url_of(listener, settings.host)}")
    make_server(app, settings, app.state.parts.drain).run(sockets=[listener])
