"""`--format` and `--output`: which formats of a report go to which files, and which one is printed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from analysis.errors import BadOptions
from analysis.render.formats import BY_NAME, Format, Publication
from analysis.report import Report
from service.cli._completion import formats
from service.cli._files import write_all

Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        metavar="NAME[=FILE]",
        help=f"Write the report as {', '.join(BY_NAME)}: to a file, or in place of the summary. Repeat.",
        autocompletion=formats,
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Where a --format without a file goes.", dir_okay=False)
]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What goes where."""

    files: Mapping[Path, Format]
    printed: Format | None
    """On standard output; None for what the command prints by itself."""

    def write(self, report: Report, publication: Publication) -> None:
        """All files, or none of them. Raises BadOptions."""
        write_all({path: form.render(report, publication).encode() for path, form in self.files.items()})

    def text(self, report: Report, publication: Publication) -> str:
        """What is printed: the summary for a terminal where nothing else was asked for."""
        return (self.printed or BY_NAME["text"]).render(report, publication)


def outputs_of(
    formats: Iterable[str] | None, output: Path | None, others: Iterable[tuple[str, Path | None]] = ()
) -> Outputs:
    """Read `--format` and `--output`; `others` are formats that have an option of their own.

    Raises BadOptions for an unknown format, for two formats in one place, and for an output without a format.
    """
    own: list[tuple[Format, Path | None]] = [(BY_NAME[name], path) for name, path in others if path is not None]
    named = [*own, *map(_named, formats or ())]
    files: dict[Path, Format] = {}
    printed: Format | None = None
    for form, path in named:
        where = path or output
        if where is None:
            printed = _only(printed, form, "standard output")
        else:
            _only(next((each for at, each in files.items() if at.resolve() == where.resolve()), None), form, str(where))
            files[where] = form
    if output is not None and all(path is not None for _, path in named):
        raise BadOptions("names a file for a --format without one, and there is none", where="--output")
    return Outputs(files, printed)


def _only(there: Format | None, form: Format, where: str) -> Format:
    if there is not None:
        detail = f"{there.name} and {form.name} would both be written there"
        raise BadOptions(detail, where=where, hint="name files: --format junit=junit.xml --format sarif=report.sarif")
    return form


def _named(text: str) -> tuple[Format, Path | None]:
    name, _, path = text.partition("=")
    if name not in BY_NAME:
        raise BadOptions(f"{name!r} is no format", where="--format", hint=f"one of {', '.join(BY_NAME)}")
    return BY_NAME[name], Path(path) if path else None
