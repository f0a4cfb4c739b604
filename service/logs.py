"""What the processes of a service say of themselves: lines for people, or a JSON object a line for who collects them.

Whatever is said while something is worked on carries its ids: `request_id` and `trace_id` of a request, `job_id` and
the `trace_id` of the request that submitted it, through every thread that works for it.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final, Literal

Form = Literal["text", "json"]
ENVIRONMENT: Final = "LOG_FORM_OF_CHILDREN"
"""How a supervisor tells its fork server, which has no settings."""
AUDIT: Final = "service.audit"
"""The logger of who did what."""
FIELDS: Final = "fields"
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_ids: ContextVar[Mapping[str, str]] = ContextVar("ids", default=NOTHING)


def ids() -> Mapping[str, str]:
    """Of what is worked on here."""
    return _ids.get()


@contextmanager
def about(**more: str | None) -> Iterator[None]:
    """What is said in this context is about these."""
    token = _ids.set({**_ids.get(), **{name: value for name, value in more.items() if value is not None}})
    try:
        yield
    finally:
        _ids.reset(token)


def say(log: logging.Logger, message: str, level: int = logging.INFO, **fields: Any) -> None:
    """A message with fields of its own, which JSON has as such."""
    log.log(level, message, extra={FIELDS: fields})


def configure(form: str, audit_file: str = "") -> None:
    """Of this process, from now on: everything to standard error, and who did what to a file as well."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    handler.addFilter(_with_ids)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells whole URLs, which may hold secrets of those told
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells that it was asked
    if audit_file:
        lines = logging.FileHandler(audit_file, delay=True)
        lines.setFormatter(JsonFormatter())
        lines.addFilter(_with_ids)
        logging.getLogger(AUDIT).addHandler(lines)


class PlainFormatter(logging.Formatter):
    """A line: when, how grave, who, what, about what."""

    def __init__(self) -> None:
        """The fields of a record are at the end."""
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The first line; a traceback follows."""
        told = "".join(f" {name}={_word(value)}" for name, value in _told(record).items())
        return super().formatMessage(record) + told


def _word(value: Any) -> str:
    """A value that ends where it ends: what a client chose, such as a path, makes no field and no line of its own."""
    text = str(value)
    return text if text.isprintable() and not set(text) & set(" \"'=") else json.dumps(text)


class JsonFormatter(logging.Formatter):
    """An object in a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The fields of a record beside those that all have."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {
            "time": moment,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps({**_told(record), **said}, default=str)


def _with_ids(record: logging.LogRecord) -> bool:
    """A filter that lets everything pass."""
    if not hasattr(record, "ids"):
        record.ids = ids()
    return True


def _told(record: logging.LogRecord) -> dict[str, Any]:
    return {**getattr(record, "ids", {}), **getattr(record, FIELDS, {})}
