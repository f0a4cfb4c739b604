"""The formats of a report: the command line, HTTP and the client ask here only.

A new format is a file of this package with one function, Report and Publication to text, and one entry of FORMATS.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from analysis.render._publication import Publication
from analysis.render.codequality import render_codequality
from analysis.render.github import render_github
from analysis.render.html import render_html
from analysis.render.junit import render_junit
from analysis.render.markdown import render_markdown
from analysis.render.openmetrics import render_openmetrics
from analysis.render.sarif import render_sarif
from analysis.render.summary import render_summary
from analysis.render.text import render_text
from analysis.report import Report

__all__ = ["BY_NAME", "BY_SUFFIX", "FORMATS", "JSON", "Format", "Publication"]


@dataclass(frozen=True, slots=True)
class Format:
    """One way to write a report down."""

    name: str
    """For the command line."""
    suffix: str
    """Of a file, and of an address: report.junit.xml."""
    media_type: str
    """Where several formats have the same, an Accept header means the first of them."""
    render: Callable[[Report, Publication], str]

    @property
    def essence(self) -> str:
        """The media type without its parameters."""
        return self.media_type.partition(";")[0]


JSON: Final = Format("json", "json", "application/json", lambda report, _: report.to_json(indent=1).decode() + "\n")
FORMATS: Final = (
    JSON,
    Format("html", "html", "text/html; charset=utf-8", lambda report, how: render_html(report, served=how.served)),
    Format("md", "md", "text/markdown; charset=utf-8", lambda report, _: render_markdown(report)),
    Format("text", "txt", "text/plain; charset=utf-8", lambda report, _: render_text(report)),
    Format("junit", "junit.xml", "application/xml", render_junit),
    Format("sarif", "sarif", "application/sarif+json", render_sarif),
    Format("openmetrics", "metrics.txt", "application/openmetrics-text; version=1.0.0; charset=utf-8",
           lambda report, _: render_openmetrics(report)),
    Format("codequality", "codequality.json", "application/json", render_codequality),
    Format("github", "github.txt", "text/plain; charset=utf-8", render_github),
    Format("summary", "summary.json", "application/json", lambda report, _: render_summary(report)),
)  # fmt: skip
BY_NAME: Final[Mapping[str, Format]] = {each.name: each for each in FORMATS}
BY_SUFFIX: Final[Mapping[str, Format]] = {each.suffix: each for each in FORMATS}
