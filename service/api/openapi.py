"""The OpenAPI document: what FastAPI makes of the routes, with the schemas that reports and problems are published by.

A schema that every response spells out again is another class for every response to those who generate clients; and of
what writes itself in a way of its own (a report) FastAPI knows no fields.
"""

import json
from typing import Any, Final

from fastapi import FastAPI

from analysis.comparison.document import comparison_schema
from analysis.report.parts import NON_FINITE
from analysis.report.schema import report_schema
from service.problems import Problem

COMPONENTS: Final = "#/components/schemas/"
NOT_FINITE: Final = {"type": "string", "enum": list(NON_FINITE)}
"""What a number may be besides: one class of its own, not one for every field."""


class Application(FastAPI):
    """One whose document has these schemas among its components."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            super().openapi()["components"]["schemas"] |= {
                **_components("Report", report_schema()),
                **_components("Comparison", comparison_schema()),
                "NotFinite": NOT_FINITE,
                **_components("Problem", Problem.model_json_schema()),
            }
        return super().openapi()


def _components(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A schema and what it is made of, each under its own name."""
    text = json.dumps(schema).replace("#/$defs/", COMPONENTS)
    moved = json.loads(
        text, object_hook=lambda part: {"$ref": f"{COMPONENTS}NotFinite"} if part == NOT_FINITE else part
    )
    parts = moved.pop("$defs", {})
    return {**parts, name: {key: value for key, value in moved.items() if key not in {"$schema", "$id"}}}
