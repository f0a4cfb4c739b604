"""Pages of the catalogue on a terminal: rendered for a reader, plain for a pipe."""

import typer
from rich.console import Console
from rich.markdown import Markdown

from service.cli._exits import ExitCode


def print_page(page: str) -> None:
    """Markdown."""
    console = Console()
    if console.is_terminal:
        console.print(Markdown(page))
    else:
        typer.echo(page)


def refuse(name: str, kind: str, command: str) -> typer.Exit:
    """Say that there is no such page, and where the list is."""
    typer.echo(f"error: {name}: no such {kind} (gradient-health {command} lists them)", err=True)
    return typer.Exit(ExitCode.BAD_INPUT)
