"""`gradient-health database`: the tables behind a service."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from service.cli._exits import ExitCode

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from service.settings import Settings


DataDir = Annotated[Path | None, typer.Option(help="Of the service [default: as GRADIENT_HEALTH_DATA_DIR says].")]


def upgrade(data_dir: DataDir = None) -> None:
    """Make or change the tables as this version needs them, as `serve` and `worker` do when they start."""
    from service.database import upgrade_tables  # noqa: PLC0415 - what speaks to databases, only where one is asked

    with _opened(data_dir) as (_, engine):
        before, after = upgrade_tables(engine)
    typer.echo(f"version {after}, as before" if before == after else f"version {before or 'none'} became {after}")


def adopt_objects(data_dir: DataDir = None) -> None:
    """Say that the objects of the database are those where the settings say, from now on: after they were moved."""
    from service.database import upgrade_tables  # noqa: PLC0415 - see above
    from service.objects.place import adopt, open_objects  # noqa: PLC0415

    with _opened(data_dir) as (settings, engine):
        upgrade_tables(engine)
        objects = open_objects(settings)
        adopt(objects, engine)
    typer.echo(f"the objects of this database are in {objects}")


@contextmanager
def _opened(data_dir: Path | None) -> "Iterator[tuple[Settings, Engine]]":
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - see above

    from service.database import open_engine  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415
    from service.startup import CannotStartError  # noqa: PLC0415

    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    try:
        with ExitStack() as closing:
            engine = open_engine(settings.prepare().database)
            closing.callback(engine.dispose)
            yield settings, engine
    except (OSError, SQLAlchemyError, CannotStartError) as error:
        reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
        typer.echo(f"error: {reason}", err=True)
        raise typer.Exit(ExitCode.SERVICE_ERROR) from error


DATABASE: Final[Mapping[str, Callable[..., None]]] = {"adopt-objects": adopt_objects, "upgrade": upgrade}
"""The commands by name."""
