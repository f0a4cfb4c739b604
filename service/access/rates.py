"""How much a tenant may do in a span of time: counted in SQL, so that all nodes count together.

A span begins with the first request in it: whoever asked for all that there is waits for its end, and no longer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Float, String, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine

from service.database import METADATA, writing

RATES: Final = Table(
    "rates",
    METADATA,
    Column("tenant", String(100), primary_key=True),
    Column("what", String(20), primary_key=True),
    Column("began", Float, nullable=False),  # seconds since 1970
    Column("taken", BigInteger, nullable=False),
)
INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


@dataclass(frozen=True, slots=True)
class Rate:
    """What a tenant may take in so many seconds."""

    what: str
    most: int
    seconds: int
    unit: str = "requests"
    """As RateLimit-Policy names it."""


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a rate, and after how many seconds it begins anew."""

    rate: Rate
    left: int
    seconds: int
    granted: bool


def take(engine: Engine, tenant: str, wanted: Sequence[tuple[Rate, int]], now: float) -> list[Left]:
    """Take so much of each rate, all or nothing; `now` is in seconds since 1970."""
    with writing(engine) as connection:
        for rate, _ in wanted:
            nothing = {"tenant": tenant, "what": rate.what, "began": now, "taken": 0}
            connection.execute(INSERTS[engine.dialect.name](RATES).values(nothing).on_conflict_do_nothing())
        rows = connection.execute(
            select(RATES).where(RATES.c.tenant == tenant).order_by(RATES.c.what).with_for_update()
        ).all()
        kept = {row.what: (row.began, row.taken) for row in rows}
        spans = [_span(rate, *kept[rate.what], now) for rate, _ in wanted]
        fits = [taken + amount <= rate.most for (rate, amount), (_, taken) in zip(wanted, spans, strict=True)]
        found = []
        for (rate, amount), (began, taken), fit in zip(wanted, spans, fits, strict=True):
            total = taken + amount if all(fits) else taken
            mine = (RATES.c.tenant == tenant, RATES.c.what == rate.what)
            connection.execute(update(RATES).where(*mine).values(began=began, taken=total))
            found.append(Left(rate, max(0, rate.most - total), math.ceil(began + rate.seconds - now), fit))
        return found


def _span(rate: Rate, began: float, taken: int, now: float) -> tuple[float, int]:
    """The span that it is now, and what was taken in it; of a clock that was set back, a new one."""
    return (began, taken) if began <= now < began + rate.seconds else (now, 0)
