"""What a request says of earlier reports (Cache-Control, RFC 9111), and what is said of it (Cache-Status, RFC 9211)."""

import re
from typing import Final

from fastapi import Request

from service.intake.submission import Age, Reuse
from service.settings import Settings

CACHE_STATUS: Final = "Cache-Status"
NAME: Final = "gradient-health"
NONE: Final = re.compile(r"no-cache|no-store", re.IGNORECASE)
MAX_AGE: Final = re.compile(r'max-age\s*=\s*"?(\d{1,10})"?', re.IGNORECASE | re.ASCII)


def age_of(request: Request, settings: Settings) -> Age:
    """How old a report may be that answers this request."""
    return Age(settings.cache_seconds, _wanted(request.headers.getlist("cache-control")))


def cache_status(reuse: Reuse) -> str:
    """The header."""
    return f"{NAME}; {reuse.value}"


def _wanted(said: list[str]) -> float | None:
    """The least that any directive allows; None: any age will do."""
    directives = [each.strip() for each in ",".join(said).split(",")]
    ages = [float(found[1]) for each in directives if (found := MAX_AGE.fullmatch(each)) is not None]
    if any(NONE.fullmatch(each) for each in directives):
        ages.append(0.0)
    return min(ages, default=None)
