"""Comparisons: what changed from one report to another, each sent along or named by the id of its analysis."""

from http import HTTPStatus
from typing import Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic_core import from_json

from analysis.comparison.compare import compare
from analysis.comparison.document import Comparison
from analysis.comparison.excerpt import Excerpt, parse_excerpt, read_excerpt
from analysis.errors import BadReport
from analysis.report.gate import Gate
from service.api.answers import VERDICT_HEADER, FailOn, gate_of, stored_problem
from service.api.context import Parts, parts_of, tenant_of
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.waiting import find_job, not_yet
from service.intake.body import receive_json
from service.jobs.job import State
from service.problems import ProblemError, refusal

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])
SIDES: Final = ("old", "new")
HINT: Final = 'send {"old": ..., "new": ...}, each a report or the id of an analysis'
SIDE: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "string", "description": "the id of an analysis that has ended"},
        {
            "type": "object",
            "description": "a report of any 1.x version; what it does not hold is not compared",
            "required": ["schema_version", "verdict", "layers", "findings"],
        },
    ]
}
COMPARISON_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": list(SIDES),
                "properties": dict.fromkeys(SIDES, SIDE),
                "additionalProperties": False,
            },
            "examples": {
                "ids": {
                    "summary": "Two analyses of this service",
                    "value": {
                        "old": "0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11",
                        "new": "0193a1c3-1d2f-7a90-8e41-5b0c7d6e9f22",
                    },
                },
                "report and id": {
                    "summary": "A report that was kept, of any version, and an analysis",
                    "value": {
                        "old": {"schema_version": "1.0", "verdict": "healthy", "layers": [], "findings": []},
                        "new": "0193a1c3-1d2f-7a90-8e41-5b0c7d6e9f22",
                    },
                },
            },
        }
    },
}


@router.post(
    "",
    operation_id="compare",
    summary="Compare two reports",
    response_model=Comparison,
    responses={
        400: PROBLEM | {"description": "The query is refused, or the body is not JSON"},
        404: PROBLEM | {"description": "There is no such analysis"},
        408: PROBLEM | {"description": "The body stalled"},
        409: PROBLEM | {"description": "An analysis has not finished yet"},
        413: PROBLEM | {"description": "Too large"},
        415: PROBLEM | {"description": "Not application/json"},
        422: PROBLEM
        | {
            "model": Comparison,
            "description": "With fail_on: the comparison, which is a regression. As a problem: a field of the body is "
            "missing or no report",
        },
        503: PROBLEM | {"description": "With fail_on: an analysis has not finished yet, try again"},
        "default": ANY_OTHER,
    },
    openapi_extra={"requestBody": COMPARISON_BODY},
)
async def compare_reports(request: Request, fail_on: FailOn = None) -> Response:
    """Layers matched, findings gained, lost, worsened, eased and moved; with `fail_on` a regression answers 422."""
    parts, gate = parts_of(request), gate_of(fail_on)
    limit = parts.settings.max_comparison_bytes
    content = await receive_json(request.headers, request.stream(), limit, parts.patience)
    comparison = await run_sync(_compare, parts, tenant_of(request), content, gate)
    failed = gate is not None and comparison.regression
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failed else HTTPStatus.OK
    headers = {VERDICT_HEADER: comparison.verdict.new.value}
    return Response(comparison.to_json(), status, headers, "application/json")


def _compare(parts: Parts, tenant: str, content: bytes, gate: Gate | None) -> Comparison:
    try:
        body = from_json(content)
    except ValueError as error:
        raise refusal("bad-request", HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}", hint=HINT) from error
    if not isinstance(body, dict):
        raise BadReport("the body must be a JSON object", hint=HINT)
    for field in [*(side for side in SIDES if side not in body), *(name for name in body if name not in SIDES)]:
        raise BadReport("field required" if field in SIDES else "unknown field", where=field[:100], hint=HINT)
    old, new = (_side(parts, tenant, side, body[side], gated=gate is not None) for side in SIDES)
    return compare(old, new, gate or Gate())


def _side(parts: Parts, tenant: str, side: str, given: object, *, gated: bool) -> Excerpt:
    """A report that was sent, or that of the analysis that was named."""
    if not isinstance(given, str):
        return parse_excerpt(given, side)
    job = find_job(parts.store, tenant, given, side)
    if not job.state.is_end:
        raise not_yet(job, gated=gated, where=side)
    if job.state is not State.SUCCEEDED or job.report_sha256 is None:
        told = stored_problem(job)
        raise ProblemError(told.model_copy(update={"where": f"{side}: {told.where}" if told.where else side}))
    return read_excerpt(parts.objects.get(job.report_sha256), side)
