"""Comparisons: what changed from one report to another, each sent along or named by the id of its analysis."""

import tempfile
from http import HTTPStatus
from typing import IO, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from analysis.comparison.document import Comparison
from analysis.report.gate import Gate
from service.api.answers import VERDICT_HEADER, FailOn, gate_of, stored_report
from service.api.context import Parts, parts_of, tenant_of
from service.api.handlers import ANY_OTHER, PROBLEM
from service.api.rates import limited
from service.api.waiting import busy, find_job, not_yet
from service.comparisons.confined import Answer, Report, compare_confined
from service.intake.body import receive_json
from service.problems import ProblemError

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])
SIDES: Final = ("old", "new")
MOST_WAITING: Final = 16
"""Comparisons that may wait for a child."""
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
        411: PROBLEM | {"description": "Bytes are counted, and there is no Content-Length"},
        413: PROBLEM | {"description": "Too large"},
        429: PROBLEM | {"description": "Too many submissions"},
        415: PROBLEM | {"description": "Not application/json"},
        422: PROBLEM
        | {
            "model": Comparison,
            "description": "With fail_on: the comparison, which is a regression. As a problem: a field of the body is "
            "missing or no report",
        },
        503: PROBLEM | {"description": "Too many comparisons, or with fail_on: an analysis has not finished yet"},
        "default": ANY_OTHER,
    },
    openapi_extra={"requestBody": COMPARISON_BODY},
    dependencies=[Depends(limited)],
)
async def compare_reports(request: Request, fail_on: FailOn = None) -> Response:
    """Layers matched, findings gained, lost, worsened, eased and moved; with `fail_on` a regression answers 422."""
    parts, gate, tenant = parts_of(request), gate_of(fail_on), tenant_of(request)

    def report(side: str, job_id: str) -> bytes:
        return report_of_side(parts, tenant, side, job_id, gated=gate is not None)

    with tempfile.TemporaryFile(dir=parts.settings.data_dir) as body:
        await receive_json(
            request.headers,
            request.stream(),
            body.write,
            limit=parts.settings.max_comparison_bytes,
            patience=parts.patience,
            threads=parts.writers,
        )
        told = await compare_body(parts, body, gate or Gate(), report)
    failed = gate is not None and told.regression
    status = HTTPStatus.UNPROCESSABLE_ENTITY if failed else HTTPStatus.OK
    return Response(told.content, status, {VERDICT_HEADER: told.verdict}, "application/json")


async def compare_body(parts: Parts, body: IO[bytes], gate: Gate, report: Report) -> Answer:
    """What a body asks for, by as many children as may run at a time. Raises ProblemError: 503 where too many wait."""
    if parts.comparers.statistics().tasks_waiting >= MOST_WAITING:
        raise busy("too many comparisons are waiting")
    return await run_sync(compare_confined, body, gate, report, limiter=parts.comparers)


def report_of_side(parts: Parts, tenant: str, side: str, job_id: str, *, gated: bool) -> bytes:
    """The stored report of the analysis that was named; raises the problem of any other."""
    job = find_job(parts.store, tenant, job_id, side)
    if not job.state.is_end:
        raise not_yet(job, gated=gated, where=side)
    try:
        content, _ = stored_report(parts.objects, job)
    except ProblemError as error:
        where = error.problem.where
        told = error.problem.model_copy(update={"where": f"{side}: {where}" if where else side})
        raise ProblemError(told) from error
    return content
