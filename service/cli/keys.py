"""`gradient-health keys`: who may ask a service that is served with GRADIENT_HEALTH_AUTH=keys."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from service.access.key import Key, Scope, issue
from service.cli._exits import ExitCode
from service.jobs.job import DEFAULT_TENANT, now

if TYPE_CHECKING:
    from service.access.keys import KeyTable

DataDir = Annotated[Path | None, typer.Option(help="Of the service [default: as GRADIENT_HEALTH_DATA_DIR says].")]
KeyId = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]


def create(
    tenant: Annotated[str, typer.Option(help="Whose jobs the key opens.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do. Repeat. [default: read, write]")] = None,
    expires: Annotated[int | None, typer.Option(metavar="DAYS", help="It ends after so many days.", min=1)] = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, once: only its sha256 is kept."""
    lifetime = None if expires is None else timedelta(days=expires)
    try:
        key, token = issue(tenant, scope or (Scope.READ, Scope.WRITE), now(), lifetime)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter(str(error)) from error
    with _table(data_dir) as keys:
        keys.add(key)
    typer.echo(token)


def list_keys(data_dir: DataDir = None) -> None:
    """List all keys, without their secrets."""
    table = Table("id", "tenant", "scopes", "created", "expires", "state", box=None, pad_edge=False)
    with _table(data_dir) as keys:
        for key in keys.all():
            table.add_row(*_columns(key))
    Console().print(table)


def rotate(
    key_id: KeyId,
    overlap: Annotated[int, typer.Option(metavar="HOURS", help="How long the old key goes on.", min=0)] = 24,
    data_dir: DataDir = None,
) -> None:
    """Make a key like ID, print it, and let ID end after the overlap."""
    with _table(data_dir) as keys:
        rotated = keys.rotate(key_id, now(), timedelta(hours=overlap))
    if rotated is None:
        raise _refuse(key_id)
    typer.echo(rotated[1])


def revoke(key_id: KeyId, data_dir: DataDir = None) -> None:
    """End a key at once."""
    with _table(data_dir) as keys:
        if not keys.revoke(key_id, now()):
            raise _refuse(key_id)


def webhook_secret(tenant: Annotated[str, typer.Option(help="Who verifies what it is told.")] = DEFAULT_TENANT) -> None:
    """Print what a tenant verifies its webhooks by; it follows from GRADIENT_HEALTH_WEBHOOK_SECRET."""
    from service.notify.signing import secret_of  # noqa: PLC0415 - see below
    from service.settings import Settings  # noqa: PLC0415

    secret = Settings().webhook_secret
    if not secret:
        typer.echo("error: GRADIENT_HEALTH_WEBHOOK_SECRET is not set", err=True)
        raise typer.Exit(ExitCode.BAD_INPUT)
    typer.echo(secret_of(tenant, secret))


@contextmanager
def _table(data_dir: Path | None) -> "Iterator[KeyTable]":
    """The keys beside the jobs of a service."""
    # what speaks to databases, only where one is asked
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    from service.access.keys import KeyTable  # noqa: PLC0415
    from service.database import open_engine, upgrade_tables  # noqa: PLC0415
    from service.settings import Settings  # noqa: PLC0415
    from service.startup import CannotStartError  # noqa: PLC0415

    settings = Settings() if data_dir is None else Settings(data_dir=data_dir)
    try:
        with ExitStack() as closing:
            engine = open_engine(settings.prepare().database)
            closing.callback(engine.dispose)
            upgrade_tables(engine)
            yield KeyTable(engine)
    except (OSError, OperationalError, CannotStartError) as error:
        reason = getattr(error, "orig", None) or getattr(error, "strerror", None) or error
        typer.echo(f"error: the keys in {settings.data_dir} cannot be read or written: {reason}", err=True)
        raise typer.Exit(ExitCode.SERVICE_ERROR) from error


def _columns(key: Key) -> tuple[str, ...]:
    expires = "never" if key.expires is None else f"{key.expires:%Y-%m-%d %H:%M}"
    scopes = ",".join(sorted(key.scopes))
    return key.id, key.tenant, scopes, f"{key.created:%Y-%m-%d}", expires, key.standing(now()).value


def _refuse(key_id: str) -> typer.Exit:
    typer.echo(f"error: {key_id}: no such key, or it has ended (gradient-health keys list shows them)", err=True)
    return typer.Exit(ExitCode.BAD_INPUT)


KEYS: Final[Mapping[str, Callable[..., None]]] = {
    "create": create,
    "list": list_keys,
    "revoke": revoke,
    "rotate": rotate,
    "webhook-secret": webhook_secret,
}
"""The commands by name."""
