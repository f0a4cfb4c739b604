"""`gradient-health wandb`: a report that was kept, as a run of Weights & Biases.

Exit codes: 0, 2 bad input or the library is missing, 3 the server refuses or is not there.
"""

from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import AnalysisError
from service.cli._exits import ExitCode
from service.cli._files import read_whole_report


def wandb(
    source: Annotated[Path, typer.Argument(metavar="REPORT", help="As --json writes it, or - for standard input.")],
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[MODEL]...", help="Repaired models to keep.", exists=True)
    ] = None,
    project: Annotated[str, typer.Option(envvar="WANDB_PROJECT")] = "gradient-health",
    folder: Annotated[Path, typer.Option("--dir", envvar="WANDB_DIR", help="Where the run is kept.")] = Path(),
    offline: Annotated[
        bool, typer.Option("--offline/--online", help="Write the run for `wandb sync`, or send it at once.")
    ] = True,
) -> None:
    """Log the report REPORT to Weights & Biases and print the id of the run."""
    from service import wandb as runs  # noqa: PLC0415 - what speaks HTTP, only where it is spoken

    try:
        run_id = runs.log(read_whole_report(source), project, files or (), folder, offline=offline)
    except AnalysisError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT) from error
    except Exception as error:
        if not type(error).__module__.startswith("wandb"):
            raise
        typer.echo(f"error: W&B: {error}", err=True)
        raise typer.Exit(ExitCode.SERVICE_ERROR) from error
    typer.echo(run_id)
