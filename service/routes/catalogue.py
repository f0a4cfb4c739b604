"""What the service knows: the schemas of reports and options."""

from typing import Any

from fastapi import APIRouter

from analysis.options import AnalysisOptions
from analysis.report import report_schema

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/schema/report", operation_id="report_schema", summary="JSON Schema of the report")
async def get_report_schema() -> dict[str, Any]:
    """Additive changes only inside a major schema_version."""
    return report_schema()


@router.get("/schema/options", operation_id="options_schema", summary="JSON Schema of the options")
async def get_options_schema() -> dict[str, Any]:
    """Every option with its bounds, default and reason."""
    return AnalysisOptions.model_json_schema()
