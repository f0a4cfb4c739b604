"""A report as a notebook or a terminal shows it, and the one change as one of the user's own module."""

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.errors import Unsupported
from analysis.facts import STEP_FACTORS
from analysis.interventions.variants import cell_of
from analysis.render.html import render_html
from analysis.render.pytorch import the_change
from analysis.render.text import render_text
from analysis.report import Report, Verdict

if TYPE_CHECKING:
    from torch import nn

    from gradient_health.repair import Repair


@dataclass(frozen=True, repr=False)
class ModuleReport:
    """What an analysis said of a module: the report itself, and the few lines that most people want of it."""

    report: Report
    diff: str = ""
    """The one change as a unified diff of the module's own text, as `print(module)` shows it, with initialisation and
    lines of the training loop behind it. Empty where the report tells of no change."""
    repair: "Repair | None" = field(default=None, compare=False)
    """What `repaired` works with; None where nothing of the network changes, or no repaired model was kept."""

    @property
    def verdict(self) -> Verdict:
        """healthy, at_risk, unhealthy or inconclusive."""
        return self.report.verdict

    @property
    def summary(self) -> str:
        """Cause, change, proof and price in words."""
        return self.report.summary

    def repaired(self, module: "nn.Module") -> "nn.Module":
        """A copy of the module with the one change: parts exchanged by path, weights as in the repaired ONNX model.

        It computes what that model computes: the copy is held against it on the batch before it is handed out. What
        belongs into the training loop is no part of it. The module itself is left as it was.

        Raises Unsupported where there is no change, where it lives in `forward`, or where the copy computes something
        else.
        """
        if self.repair is None:
            raise Unsupported(self._no_repair(), hint="`summary` and `diff` say what there is to do")
        return self.repair.repaired(module)

    def _no_repair(self) -> str:
        change = the_change(self.report)
        if change is None:
            return f"the report tells of no change to make: {self.verdict.value}"
        if all(each.factor in STEP_FACTORS for each in cell_of(change.id)):
            return f"{change.id} changes the training loop, and nothing of the module"
        return f"no repaired model of {change.id} was kept"

    def save_html(self, path: Path | str) -> None:
        """Write the page, a single file that loads nothing."""
        Path(path).write_text(render_html(self.report), "utf-8")

    def __str__(self) -> str:
        """The report as a terminal shows it, and the diff."""
        text = render_text(self.report)
        return f"{text.rstrip()}\n\nThe change in your module\n\n{self.diff}\n" if self.diff else text

    def __repr__(self) -> str:
        return f"<ModuleReport {self.verdict.value}: {self.summary}>"

    def _repr_html_(self) -> str:
        """The page inside a notebook, in a frame of its own: neither style sheet gets into the other; then the diff."""
        page = html.escape(render_html(self.report, scripted=False), quote=True)
        style = "width:100%;height:640px;border:1px solid #8884;border-radius:6px"
        frame = f'<iframe title="gradient health" sandbox="" style="{style}" srcdoc="{page}"></iframe>'
        if not self.diff:
            return frame
        code = f'<pre style="overflow-x:auto">{html.escape(self.diff)}</pre>'
        return f"{frame}<details open><summary>The change in your module</summary>{code}</details>"
