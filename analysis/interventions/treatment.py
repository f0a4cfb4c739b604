"""A treatment as everybody knows it: its token, its factor, its page. What it does is loaded when it is done.

Whoever checks the spelling of a token, lists treatments or shows their pages, as the web process does, loads neither
onnx nor the files of the shelf.
"""

import ast
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

from analysis.facts import Factor

if TYPE_CHECKING:
    from analysis.interventions.contract import Context, NotApplicable, Recipe
    from analysis.model import CheckedModel

SHELF: Final = "analysis.interventions.shelf"
Apply = Callable[["CheckedModel", "Context"], "Recipe | NotApplicable"]


@dataclass(frozen=True, slots=True)
class Treatment:
    """One level of a factor."""

    token: str
    """Its part of a variant's id."""
    factor: Factor
    file: str
    """On the shelf: it has the page, and TREATMENTS, a function for each of its tokens."""

    @property
    def page(self) -> str:
        """The docstring of its file: what it does, when it applies, what it costs."""
        return _docstring(self.file)

    @property
    def title(self) -> str:
        """The first line of its page."""
        return self.page.partition("\n")[0]

    def apply(self, model: "CheckedModel", context: "Context") -> "Recipe | NotApplicable":
        """What it does to a model, or why it does not apply."""
        return self.load()(model, context)

    def load(self) -> Apply:
        """Its function; what it is made of is in memory then."""
        known: Mapping[str, Apply] = importlib.import_module(f"{SHELF}.{self.file}").TREATMENTS
        return known[self.token]


def treatments(file: str, factor: Factor, *tokens: str) -> tuple[Treatment, ...]:
    """The treatments of one file of the shelf."""
    return tuple(Treatment(token, factor, file) for token in tokens)


@cache
def _docstring(file: str) -> str:
    source = resources.files(SHELF).joinpath(f"{file}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source), clean=False) or ""
