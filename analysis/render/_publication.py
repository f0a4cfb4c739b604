"""Where and for whom a report is rendered: what a format may have to know besides the report."""

from dataclasses import dataclass, field
from typing import Final

from analysis.report import Report
from analysis.report.gate import Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The same for all formats; most need none of it."""

    gate: Gate = field(default_factory=Gate)
    """What fails: a format that knows passed and failed agrees with the exit code of the pipeline."""
    path: str = ""
    """Of the model in its repository, as `models/net.onnx`; by default the name that the report gives."""
    served: bool = False
    """Below the analysis that it belongs to, where links to repaired models lead somewhere."""

    def file(self, report: Report) -> str:
        """What a finding is pinned to."""
        return self.path or report.model.name


PLAINLY: Final = Publication()
"""A file of its own, with the gate that is used where none is named."""
