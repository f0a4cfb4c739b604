"""Prints the table of operators: `python -m analysis.convert.ops > analysis/convert/ops/OPERATORS.md`."""

import inspect
import sys
from collections.abc import Iterable

from onnx import defs

from analysis.convert import ops
from analysis.convert.registry import NEWEST, Operator, registered
from analysis.model.traditional import REWRITINGS

HEAD = """# Operators

What converts, by operator set and version; made from the registry by `python -m {module}`. An operator serves from its
version up to the next one listed.

| operator | from opset | to | what it is |
|---|---|---|---|
"""
DEFINED = """
## By ONNX's own definition

These have no function here: the graph that ONNX publishes for them is run in their place.

"""
REWRITTEN = """
## Of ai.onnx.ml

These are written anew with operators of the standard when a model is read (`analysis/model/traditional`): coefficients
and intercepts become weights that train, what was read off the data becomes frozen ones. ZipMaps and outputs that are
strings are left out. Trees are refused: they have no gradient.

"""


def table() -> str:
    """The page."""
    rows = sorted(registered(), key=lambda each: (each[0].domain, each[0].name.lower(), each[0].since))
    lines = [_row(operator, successor) for operator, successor in rows]
    return (
        HEAD.format(module=ops.__name__)
        + "".join(lines)
        + DEFINED
        + _wrapped(defined())
        + REWRITTEN
        + _wrapped(sorted(REWRITINGS))
    )


def defined() -> list[str]:
    """Standard operators that convert through their function body."""
    known = {operator.name for operator, _ in registered() if not operator.domain}
    schemas = [schema for schema in defs.get_all_schemas() if not schema.domain and schema.name not in known]
    return sorted(schema.name for schema in schemas if _has_body(schema))


def _has_body(schema: object) -> bool:
    return bool(getattr(schema, "has_function", False) or getattr(schema, "has_context_dependent_function", False))


def _row(operator: Operator, successor: int) -> str:
    name = f"{operator.domain}::{operator.name}" if operator.domain else operator.name
    until = "" if successor == NEWEST else successor - 1
    words = (inspect.getdoc(operator.function) or "").partition("\n")[0].replace("|", "\\|")
    return f"| {name} | {operator.since} | {until} | {words} |\n"


def _wrapped(names: Iterable[str]) -> str:
    return ", ".join(names) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
