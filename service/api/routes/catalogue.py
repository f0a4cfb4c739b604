"""What the service knows: rules and treatments with their pages, the schemas of reports, comparisons and options."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict

from analysis.comparison.document import comparison_schema
from analysis.diagnosis.contract import Rule
from analysis.diagnosis.policy import find_rule
from analysis.diagnosis.rules import RULES
from analysis.facts import Factor
from analysis.interventions.shelf import BY_TOKEN, INTERVENTIONS
from analysis.interventions.treatment import Treatment
from analysis.options import AnalysisOptions
from analysis.report.schema import report_schema
from service.api.handlers import PROBLEM
from service.problems import refusal

router = APIRouter(prefix="/v1", tags=["catalogue"])


class RuleView(BaseModel):
    """An illness that is looked for."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    message: str
    thresholds: Mapping[str, float]
    """Defaults; `options.thresholds` sets others."""
    page: str
    """Markdown: what it detects, why it matters, how it is measured, when it is wrong, remedies, references."""


class InterventionView(BaseModel):
    """A treatment that is tried."""

    model_config = ConfigDict(frozen=True)

    token: str
    """Its part of a variant's id, and what `options.variants` and `options.without` name it by."""
    factor: Factor
    """What it chooses; a variant chooses each factor once."""
    title: str
    page: str
    """Markdown: what it does, when it applies, what it changes, sources."""


@router.get("/schema/report", operation_id="report_schema", summary="JSON Schema of the report")
async def get_report_schema() -> dict[str, Any]:
    """Additive changes only inside a major schema_version."""
    return report_schema()


@router.get("/schema/comparison", operation_id="comparison_schema", summary="JSON Schema of the comparison")
async def get_comparison_schema() -> dict[str, Any]:
    """Additive changes only inside a major schema_version."""
    return comparison_schema()


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
    return _page(request, found.page, _view(found))


@router.get("/interventions", operation_id="list_interventions", summary="The treatments that are tried")
async def list_interventions() -> list[InterventionView]:
    """All treatments in the order of their factors, each with its page."""
    return [_intervention(each) for each in INTERVENTIONS]


@router.get(
    "/interventions/{token}", operation_id="show_intervention", summary="One treatment and its page",
    response_model=InterventionView,
    responses={404: PROBLEM, "default": PROBLEM, 200: {"content": {"text/markdown": {}}}},
)  # fmt: skip
async def show_intervention(token: str, request: Request) -> Response:
    """By token; `Accept: text/markdown` gives the page alone."""
    found = BY_TOKEN.get(token)
    if found is None:
        raise refusal(
            "no-such-treatment", HTTPStatus.NOT_FOUND, f"{token!r} is no treatment",
            hint="GET /v1/interventions lists them",
        )  # fmt: skip
    return _page(request, found.page, _intervention(found))


def _page(request: Request, page: str, shown: BaseModel) -> Response:
    """The page alone for those who ask for markdown."""
    if "text/markdown" in request.headers.get("accept", ""):
        return PlainTextResponse(page, media_type="text/markdown; charset=utf-8")
    return JSONResponse(shown.model_dump(mode="json"))


def _intervention(treatment: Treatment) -> InterventionView:
    return InterventionView(token=treatment.token, factor=treatment.factor, title=treatment.title, page=treatment.page)


def _view(rule: Rule) -> RuleView:
    return RuleView(id=rule.id, name=rule.name, message=rule.message, thresholds=rule.thresholds, page=rule.page)
