"""How a command ends that does not end by itself: a bug is said as such, with a way to report it; Ctrl-C in a word."""

import functools
import sys
import traceback
from collections.abc import Callable
from typing import Final, ParamSpec

import typer

from analysis.version import VERSION
from service.cli._exits import ExitCode
from service.problems import FULL

Arguments = ParamSpec("Arguments")
REPORT: Final = (
    "this is a bug of gradient-health, not a fault of your files: please report it with the lines above, "
    "the command and, if you may, the model"
)


def telling_bugs(command: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """The command; an exception that it does not know ends with the traceback, that sentence and ExitCode.BUG.

    A disk without room is none of its bugs: ExitCode.BAD_INPUT. Ctrl-C ends it in one word and with the shell's code,
    130.
    """

    @functools.wraps(command)
    def telling(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
        try:
            command(*arguments, **options)
        except (typer.Exit, typer.Abort, typer.BadParameter, BrokenPipeError):
            raise
        except KeyboardInterrupt as error:
            typer.echo("interrupted", err=True)
            raise typer.Exit(ExitCode.INTERRUPTED) from error
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                typer.echo(f"error: {error.filename or 'the output'} cannot be written: {error.strerror}", err=True)
                raise typer.Exit(ExitCode.BAD_INPUT) from error
            traceback.print_exception(error, file=sys.stderr)
            typer.echo(f"error: {type(error).__name__}: {REPORT} (gradient-health {VERSION})", err=True)
            raise typer.Exit(ExitCode.BUG) from error

    return telling
