"""The one change as a unified diff of the module's own text, and what belongs around the module behind it.

    --- Sequential
    +++ Sequential, relu+batch_norm+he
    @@ -1,4 +1,7 @@
     Sequential(
    -  (0): Linear(in_features=16, out_features=16, bias=True)
    ...
     # once, before training
    +for layer in model.modules():

The text is what `print(module)` shows. What stands in `forward` is no part of it and is said in a comment.
"""

import difflib
from collections.abc import Iterator

from torch import nn

from analysis.facts import STEP_FACTORS, Factor
from analysis.interventions.variants import cell_of
from analysis.render.pytorch import around_the_module
from analysis.report import Report, Variant
from gradient_health.change import Change
from gradient_health.repair import edited, shared_copy

DRAWN = frozenset({Factor.INITIALIZATION, Factor.BRANCH_ENDS})


def diff_of(module: nn.Module, change: Change | None, report: Report, variant: Variant) -> str:
    """The diff; `change`: None where nothing of the network changes, and only the training does."""
    return "\n".join([*_parts(module, change, variant), *_in_forward(change), *_around(report, variant)])


def _parts(module: nn.Module, change: Change | None, variant: Variant) -> Iterator[str]:
    if change is None or not change.edits:
        return
    name = type(module).__name__
    before, after = _text(shared_copy(module)), _text(edited(shared_copy(module), change))
    yield from difflib.unified_diff(before, after, name, f"{name}, {variant.id}", lineterm="")


def _text(copied: nn.Module) -> list[str]:
    """As it prints itself; torch keeps the nonlinearity of plain cells to itself."""
    for part in copied.modules():
        if isinstance(part, nn.RNN) and part.nonlinearity != "tanh":
            said = f"{part.extra_repr()}, nonlinearity={part.nonlinearity!r}"
            setattr(part, "extra_repr", str(said).__str__)  # noqa: B010 - a method of one part alone
    return repr(copied).splitlines()


def _in_forward(change: Change | None) -> Iterator[str]:
    for each in () if change is None else change.in_forward:
        yield f" # in forward, which is not shown here: {each}"


def _around(report: Report, variant: Variant) -> Iterator[str]:
    """Initialisation and training loop; weights that no line of PyTorch draws are told in the words of the recipe."""
    lines = around_the_module(report, variant)
    factors = {each.factor for each in cell_of(variant.id)}
    if factors & DRAWN and not any("nn.init" in line.text for line in lines):
        recipe = next((each.recipe for each in report.remedies if each.variant == variant.id), variant.id)
        yield f" # weights, as repaired(module) has them: {recipe}"
    if factors <= STEP_FACTORS and not lines:
        recipe = next((each.recipe for each in report.remedies if each.variant == variant.id), variant.id)
        yield f" # in the training loop: {recipe}"
    for line in lines:
        yield f"{line.sign}{line.text}"
