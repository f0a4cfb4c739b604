"""`gradient-health mlflow-webhook`: a receiver of MLflow's webhooks, which analyses every new version of a model.

Exit codes: 1 an address that is taken, 2 bad input; told to stop by a signal, it ends what is under way and then itself
by that signal, as `serve` does.
"""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import BadOptions
from analysis.options import parse_options


def mlflow_webhook(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 8001,
    tracking_uri: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="Where the tracking server is.")
    ] = "http://127.0.0.1:5000",
    experiment: Annotated[
        str, typer.Option(envvar="MLFLOW_EXPERIMENT_NAME", help="Where runs with the reports are logged.")
    ] = "gradient-health",
    only: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Registered models to look at, e.g. 'team-*'. Repeat.")
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            help="A sample batch for all of them [default: batch.npz beside the model, or made up].",
            exists=True,
            dir_okay=False,
            resolve_path=True,
        ),
    ] = None,
    server: Annotated[str | None, typer.Option(help="Analyse on this service, e.g. http://localhost:8000.")] = None,
    options: Annotated[str, typer.Option(help="Options of the analysis as JSON, see /v1/schema/options.")] = "{}",
    most_seconds: Annotated[float, typer.Option(help="Time by the clock that one analysis may take.", min=1)] = 3600,
    most_bytes: Annotated[int, typer.Option(help="Largest model with what lies beside it.", min=1)] = 2 << 30,
) -> None:
    """Analyse every new version of a registered model that MLflow tells of, and tag it with the verdict.

    GRADIENT_HEALTH_MLFLOW_WEBHOOK_SECRET is the secret that the webhook was made with.
    """
    from service.drain import Drain  # noqa: PLC0415 - what serves and asks, only where it is done
    from service.mlflow.connection import Connection  # noqa: PLC0415 - the same
    from service.mlflow_webhook.analysis import SECRET, Analysis  # noqa: PLC0415 - the same
    from service.mlflow_webhook.analyst import Analyst, Order  # noqa: PLC0415 - the same
    from service.mlflow_webhook.deliveries import Deliveries  # noqa: PLC0415 - the same
    from service.mlflow_webhook.receiver import make_receiver  # noqa: PLC0415 - the same
    from service.server.listener import listen, url_of  # noqa: PLC0415 - the same
    from service.server.server import make_server  # noqa: PLC0415 - the same
    from service.settings import Settings  # noqa: PLC0415 - the same

    secret = os.environ.get(SECRET, "")
    if not secret:
        raise typer.BadParameter(f"{SECRET} is not set: it is the secret of the webhook, without which all are refused")
    try:
        parse_options(options)
    except BadOptions as error:
        raise typer.BadParameter(str(error), param_hint="--options") from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    there = [] if server is None else ["--server", server]
    analyst = Analyst(
        Connection.from_environment(tracking_uri),
        Analysis([*there, "--options", options], most_seconds),
        Order(experiment, batch, most_bytes),
    )
    settings = Settings(host=host, port=port)
    try:
        listener = listen(host, port)
    except OSError as error:
        typer.echo(f"error: cannot listen on {host} port {port}: {error.strerror}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"listening on {url_of(listener, host)} for webhooks of {tracking_uri}")
    receiver = make_receiver(Deliveries(secret), analyst, only or ())
    make_server(receiver, settings, Drain(settings.drain_seconds)).run(sockets=[listener])
