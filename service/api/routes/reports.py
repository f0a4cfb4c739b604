"""Reports by suffix: report.html, report.junit.xml, report.sarif and whatever else there is a format for."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from analysis.render.formats import BY_SUFFIX, FORMATS
from analysis.report import Report
from service.api.answers import FailOn
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.sending import form_of, send_report
from service.api.waiting import Wait
from service.problems import refusal

router = APIRouter(prefix="/v1/analyses", tags=["analyses"])


@router.get(
    "/{job_id}/report.{suffix}",
    operation_id="get_report_as",
    summary="The report in the format of a suffix",
    response_class=Response,
    responses={
        200: {
            "content": {each.media_type: {"schema": {"type": "string"}} for each in FORMATS},
            "description": f"The report; suffixes are {', '.join(BY_SUFFIX)}",
        },
        304: {"description": "If-None-Match names what would be sent"},
        400: PROBLEM | {"description": "The query is refused"},
        404: PROBLEM | {"description": "There is no such analysis, or no such format"},
        409: PROBLEM | {"description": "Not finished yet"},
        422: PROBLEM | {"model": Report, "description": "With fail_on: the report fails the gate"},
        503: PROBLEM | {"description": "With fail_on: no verdict yet"},
        "default": ANY_OTHER,
    },
)
async def get_report_as(
    request: Request,
    job_id: str,
    suffix: str,
    fail_on: FailOn = None,
    wait: Wait = None,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """As `GET /v1/analyses/{job_id}/report`, whatever the Accept header says; what fails follows `fail_on`."""
    kind = BY_SUFFIX.get(suffix)
    if kind is None:
        known = f"report.{', report.'.join(BY_SUFFIX)}"
        raise refusal(
            "no-such-format", HTTPStatus.NOT_FOUND, "a report has no such format", where=suffix[:100], hint=known
        )
    return await send_report(request, job_id, form_of(request, kind, known=if_none_match), fail_on, wait)
