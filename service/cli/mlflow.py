"""`gradient-health mlflow`: a report that was kept, as a run of an MLflow server, and as tags of a registered version.

Exit codes: 0, 2 bad input, 3 the server refuses or is not there.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import AnalysisError
from service.cli._exits import ExitCode
from service.cli._files import read_whole_report


def mlflow(
    source: Annotated[Path, typer.Argument(metavar="REPORT", help="As --json writes it, or - for standard input.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[MODEL]...", help="Repaired models to keep.", exists=True)
    ] = None,
    tracking_uri: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="Where the tracking server is.")
    ] = "http://127.0.0.1:5000",
    experiment: Annotated[str, typer.Option(envvar="MLFLOW_EXPERIMENT_NAME")] = "gradient-health",
    version: Annotated[
        str, typer.Option(metavar="NAME/VERSION", help="A registered version that gets the verdict as tags.")
    ] = "",
) -> None:
    """Log the report REPORT to MLflow and print the id of the run."""
    import httpx  # noqa: PLC0415 - what speaks HTTP, only where it is spoken

    from service.mlflow import Mlflow, MlflowError  # noqa: PLC0415 - the same

    name, _, number = version.rpartition("/")
    if version and not (name and number):
        raise typer.BadParameter("must be NAME/VERSION, for example net/3", param_hint="--version")
    try:
        report = read_whole_report(source)
        user, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        auth = None if user is None else (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        server = Mlflow(tracking_uri, auth, token)
        run_id = server.log(report, experiment, files or ())
        if version:
            server.tag_version(report, run_id, name, number)
    except AnalysisError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT) from error
    except (MlflowError, httpx.TransportError) as error:
        typer.echo(f"error: MLflow at {tracking_uri}: {error}", err=True)
        raise typer.Exit(ExitCode.SERVICE_ERROR) from error
    typer.echo(run_id)
