"""The one change for whoever has the PyTorch module: which it is, and the lines that stand around the module."""

from analysis.render._code import around_the_module
from analysis.render._code_line import Line
from analysis.render._top import best_remedy, variant_of
from analysis.report import Report, Variant

__all__ = ["Line", "around_the_module", "the_change"]


def the_change(report: Report) -> Variant | None:
    """The variant of the one change that the report tells to make; None where it tells of none."""
    best = best_remedy(report)
    return None if best is None else variant_of(report, best.variant)
