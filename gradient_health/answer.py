"""A report as a notebook or a terminal shows it."""

import html
from dataclasses import dataclass
from pathlib import Path

from analysis.render.html import render_html
from analysis.render.text import render_text
from analysis.report import Report, Verdict


@dataclass(frozen=True, repr=False)
class ModuleReport:
    """What an analysis said of a module: the report itself, and the few lines that most people want of it."""

    report: Report

    @property
    def verdict(self) -> Verdict:
        """healthy, at_risk, unhealthy or inconclusive."""
        return self.report.verdict

    @property
    def summary(self) -> str:
        """Cause, change, proof and price in words."""
        return self.report.summary

    def save_html(self, path: Path | str) -> None:
        """Write the page, a single file that loads nothing."""
        Path(path).write_text(render_html(self.report), "utf-8")

    def __str__(self) -> str:
        return render_text(self.report)

    def __repr__(self) -> str:
        return f"<ModuleReport {self.verdict.value}: {self.summary}>"

    def _repr_html_(self) -> str:
        """The page inside a notebook, in a frame of its own: neither style sheet gets into the other."""
        page = html.escape(render_html(self.report), quote=True)
        style = "width:100%;height:640px;border:1px solid #8884;border-radius:6px"
        return f'<iframe title="gradient health" sandbox="" style="{style}" srcdoc="{page}"></iframe>'
