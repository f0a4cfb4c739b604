"""Comparison -> the body of a page: two columns, what became of every finding, and the numbers beside each other."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

from analysis.comparison.document import Change, Comparison
from analysis.render._template import environment

TONES: Final[Mapping[Change, str]] = {
    Change.GAINED: "error",
    Change.WORSENED: "error",
    Change.MOVED: "warning",
    Change.UNCHANGED: "info",
    Change.EASED: "healthy",
    Change.LOST: "healthy",
}
SHOWN: Final[Mapping[str, str]] = {
    "gradient_flow.decades_rms": "Gradient flow, decades (RMS)",
    "gradient_flow.decades_norm": "Gradient flow, decades (norm)",
    "gradient_flow.leverage_log10.least": "Least leverage, log10",
    "gradient_flow.nonlinearity_coefficient": "Nonlinearity coefficient",
    "loss.value": "Loss",
    "probe.best_loss_over_chance": "Loss over chance after a short training",
}
"""The numbers a reader looks at first; all of them are in the JSON."""


def render_comparison_body(comparison: Comparison) -> Markup:
    """For a page that has the style sheet of reports."""
    _, _, words = comparison.summary.partition(": ")
    changed = [each for each in comparison.findings if each.change is not Change.UNCHANGED]
    signs = Counter(each.matched_by.value for each in comparison.layers.matched)
    names = {each.new.id: each.new.name for each in comparison.layers.matched}
    shown = environment().get_template("comparison.html").render(
        comparison=comparison,
        changed=changed,
        unchanged=[each for each in comparison.findings if each.change is Change.UNCHANGED],
        tones={change.value: tone for change, tone in TONES.items()},
        numbers=[(what, comparison.numbers[name]) for name, what in SHOWN.items() if name in comparison.numbers],
        words=words[:1].upper() + words[1:],
        signs=signs,
        names=names | {each.id: each.name for each in comparison.layers.gained},
    )  # fmt: skip
    return Markup(shown)  # noqa: S704 - the template escapes
