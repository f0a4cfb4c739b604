"""`gradient-health compare`: what changed from one report to another.

Exit codes: 0 no regression, 1 regression, 2 bad input.
"""

from pathlib import Path
from typing import Annotated

import typer

from analysis.comparison.compare import compare as compare_reports
from analysis.errors import AnalysisError
from analysis.render.comparison import render_comparison
from analysis.report.gate import Gate
from service.cli._completion import severities
from service.cli._exits import ExitCode
from service.cli._files import read_report, write_whole


def compare(
    old: Annotated[Path, typer.Argument(help="A report, as --json writes it.", exists=True, dir_okay=False)],
    new: Annotated[Path, typer.Argument(help="The report to compare it with.", exists=True, dir_okay=False)],
    json: Annotated[Path | None, typer.Option(help="Write the comparison here.", dir_okay=False)] = None,
    fail_on: Annotated[
        str,
        typer.Option(
            help="From which severity on a finding gained or worsened is a regression: info, warning or error, with or "
            "without ,inconclusive. A worse verdict always is one.",
            autocompletion=severities,
        ),
    ] = "error",
) -> None:
    """Compare the report NEW with the report OLD: findings gained, lost, worsened, eased and moved."""
    try:
        comparison = compare_reports(read_report(old), read_report(new), Gate.parse(fail_on))
        if json is not None:
            write_whole(json, comparison.to_json(indent=1))
    except AnalysisError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT) from error
    typer.echo(render_comparison(comparison), nl=False)
    raise typer.Exit(ExitCode.FAILED if comparison.regression else ExitCode.PASSED)
