"""What the service knows: the rules with their pages, the schemas of reports and options."""

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from analysis.options import AnalysisOptions
from analysis.report import report_schema
from analysis.rules import RULES, find_rule
from analysis.rules._base import Rule
from service.problems import PROBLEM, refusal
from service.schemas import RuleView

router = APIRouter(prefix="/v1", tags=["catalogue"])


@router.get("/schema/report", operation_id="report_schema", summary="JSON Schema of the report")
async def get_report_schema() -> dict[str, Any]:
    """Additive changes only inside a major schema_version."""
    return report_schema()


@router.get("/schema/options", operation_id="options_schema", summary="JSON Schema of the options")
async def get_options_schema() -> dict[str, Any]:
    """Every option with its bounds, default and reason."""
    return AnalysisOptions.model_json_schema()


@router.get("/rules", operation_id="list_rules", summary="The illnesses that are looked for")
async def list_rules() -> list[RuleView]:
    """All rules in the order of their ids, each with its page."""
    return [_view(rule) for rule in RULES]


@router.get(
    "/rules/{rule}", operation_id="show_rule", summary="One rule and its page", response_model=RuleView,
    responses={404: PROBLEM, "default": PROBLEM, 200: {"content": {"text/markdown": {}}}},
)  # fmt: skip
async def show_rule(rule: str, request: Request) -> Response:
    """By id or name; `Accept: text/markdown` gives the page alone."""
    found = find_rule(rule)
    if found is None:
        raise refusal("no-such-rule", HTTPStatus.NOT_FOUND, f"{rule!r} is no rule", hint="GET /v1/rules lists them")
    if "text/markdown" in request.headers.get("accept", ""):
        return PlainTextResponse(found.page, media_type="text/markdown; charset=utf-8")
    return JSONResponse(_view(found).model_dump(mode="json"))


def _view(rule: Rule) -> RuleView:
    return RuleView(id=rule.id, name=rule.name, message=rule.message, thresholds=rule.thresholds, page=rule.page)
