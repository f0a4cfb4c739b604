"""`gradient-health report`: a report that was kept, in another format.

Exit codes: 0, 1 where --fail-on is given and the report fails it, 2 bad input.
"""

from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import AnalysisError
from analysis.render.formats import Publication
from analysis.report.gate import Gate
from service.cli._completion import severities
from service.cli._exits import ExitCode
from service.cli._files import read_whole_report
from service.cli._outputs import Formats, Output, outputs_of


def report(
    source: Annotated[Path, typer.Argument(metavar="REPORT", help="As --json writes it, or - for standard input.")],
    formats: Formats = None,
    output: Output = None,
    path: Annotated[
        str, typer.Option(metavar="FILE", help="The model's path in its repository, which findings are pinned to.")
    ] = "",
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="Exit with 1 at or over info, warning or error, with or without ,inconclusive.",
            autocompletion=severities,
        ),
    ] = None,
) -> None:
    """Print the report REPORT as a summary, or write it in other formats."""
    try:
        gate = None if fail_on is None else Gate.parse(fail_on)
        wanted = outputs_of(formats, output)
        kept = read_whole_report(source)
        publication = Publication(gate=gate or Gate(), path=path)
        wanted.write(kept, publication)
    except AnalysisError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT) from error
    if wanted.printed is not None or not wanted.files:
        typer.echo(wanted.text(kept, publication), nl=False)
    raise typer.Exit(ExitCode.FAILED if gate is not None and gate.fails(kept) else ExitCode.PASSED)
