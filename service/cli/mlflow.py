"""`gradient-health mlflow`: a report that was kept, as a run of an MLflow server, and as tags of a registered version.

Exit codes: 0, 2 bad input, 3 the server refuses or is not there.
"""

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

    from service.mlflow.connection import Connection, MlflowError  # noqa: PLC0415 - the same
    from service.mlflow.runs import log_run  # noqa: PLC0415 - the same
    from service.mlflow.versions import Version, tag_verdict  # noqa: PLC0415 - the same

    try:
        tagged = Version.parse(version) if version else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--version") from error
    try:
        report = read_whole_report(source)
        with Connection.from_environment(tracking_uri) as server:
            run_id = log_run(server, report, experiment, files or ())
            if tagged is not None:
                tag_verdict(server, tagged, report, run_id)
    except AnalysisError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT) from error
    except (MlflowError, httpx.TransportError) as error:
        typer.echo(f"error: MLflow at {tracking_uri}: {error}", err=True)
        raise typer.Exit(ExitCode.SERVICE_ERROR) from error
    typer.echo(run_id)
