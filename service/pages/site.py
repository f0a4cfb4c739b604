"""Templates, static files, and the headers of a page: it loads its own files from here and nothing from elsewhere."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from analysis.errors import said_at
from analysis.render.html import environment, scripts, style_sheet
from analysis.version import VERSION
from service.api.context import parts_of
from service.jobs.job import Job

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
    "Vary": "Authorization, X-Api-Key",
}
STATIC: Final[Mapping[str, str]] = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
REPORT_STYLE: Final = "report.css"
REPORT_SCRIPTS: Final = ("uplot.js", "figures.js")
"""In the order of those of a report."""


def page(request: Request, template: str, status: int = HTTPStatus.OK, **shown: Any) -> HTMLResponse:
    """A template as a response, under the policy."""
    known = {
        "request": request,
        "needs_keys": parts_of(request).settings.needs_keys,
        "version": VERSION,
        "figures": REPORT_SCRIPTS,
        "seconds_of": seconds_of,
        "said_at": said_at,
    }
    return HTMLResponse(
        environment("service.pages").get_template(template).render(known | shown), status, dict(HEADERS)
    )


def static_file(name: str, known: str = "") -> Response | None:
    """A style sheet, a script or the icon; None: there is no such file. 304 where the client has it already."""
    found = _static().get(name)
    if found is None:
        return None
    content, kind = found
    headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "Cache-Control": "no-cache"}
    headers |= {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
    if headers["ETag"] in known:
        return Response(None, HTTPStatus.NOT_MODIFIED, headers)
    return Response(content, HTTPStatus.OK, headers, kind)


def seconds_of(job: Job) -> str:
    """How long it took, or has taken."""
    if job.started is None:
        return ""
    seconds = ((job.finished or datetime.now(UTC)) - job.started).total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


@cache
def _static() -> dict[str, tuple[bytes, str]]:
    folder = files("service.pages") / "static"
    own = {name: ((folder / name).read_bytes(), kind) for name, kind in STATIC.items()}
    of_reports = {
        name: (text.encode(), STATIC["page.js"]) for name, text in zip(REPORT_SCRIPTS, scripts(), strict=True)
    }
    return {**own, **of_reports, REPORT_STYLE: (style_sheet().encode(), STATIC["page.css"])}
