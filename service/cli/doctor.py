"""`gradient-health doctor`: whether this machine can serve, and what confines an analysis on it."""

import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli._exits import ExitCode

if TYPE_CHECKING:
    from service.settings import Settings

LIBRARIES: Final = ("gradient-health", "torch", "onnx", "onnxruntime")
Check = tuple[str, bool, str]
"""What is looked at, whether it is well, and what was found."""


def doctor(
    data_dir: Annotated[
        Path | None, typer.Option(help="Of the service [default: as GRADIENT_HEALTH_DATA_DIR says].")
    ] = None,
) -> None:
    """Look at what a service needs. Exit code 3 where something it cannot do without is missing."""
    well = True
    for what, fine, found in _checks(data_dir):
        typer.echo(f"{what:<22}  {'ok' if fine else 'MISSING':<7}  {found}")
        well &= fine
    raise typer.Exit(ExitCode.PASSED if well else ExitCode.SERVICE_ERROR)


def _checks(data_dir: Path | None) -> Iterator[Check]:
    """Libraries, folder, database, who may come in by what, sandbox."""
    # what a service is made of, only where one is looked at
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from service.jobs.store import Store  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415
    from service.startup import CannotStartError  # noqa: PLC0415

    yield from ((name, True, version(name)) for name in LIBRARIES)
    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    try:
        settings.prepare()
    except OSError as error:
        yield "data folder", False, f"{settings.data_dir}: {error.strerror}"
        return
    free = shutil.disk_usage(settings.data_dir).free
    yield "data folder", free >= settings.min_free_bytes, f"{free >> 20} MiB free in {settings.data_dir}"
    try:
        store = Store(settings.database)
        store.ping()
        store.close()
        yield "job table", True, settings.database.partition("://")[0]
    except SQLAlchemyError as error:
        yield "job table", False, type(error).__name__
    except CannotStartError as error:
        yield "job table", False, str(error)
    exposed = f"{settings.host}, and GRADIENT_HEALTH_AUTH is none"
    yield "access", not settings.is_exposed, exposed if settings.is_exposed else f"{settings.host}, {settings.auth}"
    yield from _tokens(settings)
    yield from _sandbox(required=settings.require_sandbox)


def _tokens(settings: "Settings") -> Iterator[Check]:
    """Whether the keys of their issuer can be had, where there is one."""
    if not settings.takes_tokens:
        return
    from service.access.caller import KeysAwayError  # noqa: PLC0415 - see above
    from service.startup import CannotStartError, needing_extra  # noqa: PLC0415

    try:
        with needing_extra("auth"):
            from service.access.tokens import issuer_of  # noqa: PLC0415
        issuer_of(settings).keys.read()
        yield "tokens", True, settings.jwt_issuer
    except (CannotStartError, KeysAwayError) as error:
        yield "tokens", False, str(error)


def _sandbox(*, required: bool) -> Iterator[Check]:
    """A layer that is off is missing where all are required, and otherwise told."""
    from service.worker.checkup import sandbox_states  # noqa: PLC0415 - see above

    try:
        with tempfile.TemporaryDirectory() as folder:
            states = sandbox_states(Path(folder))
    except OSError as error:
        yield "sandbox", False, str(error)
        return
    for layer, state in states.items():
        yield f"sandbox: {layer}", not (required and state.startswith("off")), state
