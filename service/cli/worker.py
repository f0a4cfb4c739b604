"""`gradient-health worker`: a node that computes jobs and serves nobody."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer


def worker(
    data_dir: Annotated[Path | None, typer.Option(help="Of this node alone, for what it works on.")] = None,
    slots: Annotated[int | None, typer.Option(help="Analyses at a time.", min=1)] = None,
) -> None:
    """Compute the jobs of a service until told to stop."""
    from service.runners.embedded import environment_of  # noqa: PLC0415 - what other commands do not need
    from service.settings import Settings  # noqa: PLC0415

    given: dict[str, Any] = {"data_dir": data_dir, "job_slots": slots}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    command = [sys.executable, "-m", "service.worker", "alone"]
    os.execve(command[0], command, {**os.environ, **environment_of(settings)})  # noqa: S606 - our own module
