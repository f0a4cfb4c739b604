"""JSON Schema of what is published."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from analysis.report.document import Report
from analysis.report.parts import NON_FINITE, Part


class _Schema(GenerateJsonSchema):
    """Floats are numbers or one of the three strings."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [super().float_schema(schema), {"type": "string", "enum": list(NON_FINITE)}]}

    def ser_schema(self, schema: Any) -> JsonSchemaValue | None:
        """A model that keeps some of its nulls when it is written is described by its fields all the same."""
        return None if schema["type"] == "function-wrap" else super().ser_schema(schema)


def published_schema(kind: type[Part], path: str) -> dict[str, Any]:
    """JSON Schema of what is served under this path."""
    schema = kind.model_json_schema(mode="serialization", schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": path, **schema}


def report_schema() -> dict[str, Any]:
    """JSON Schema of the report, as served at /v1/schema/report."""
    return published_schema(Report, "/v1/schema/report")
