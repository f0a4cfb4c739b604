"""The pages: `/` with the form, `/analyses` and one of them, `/compare`; what a form changes leads to a page."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Header, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from analysis.render.comparison_page import render_comparison_body
from analysis.render.formats import FORMATS
from analysis.render.html import render_body
from service.api.accept import takes
from service.api.answers import stored_problem, stored_report
from service.api.context import Parts, parts_of, tenant_of
from service.api.rates import limited
from service.api.routes.jobs import cancel, forget
from service.api.waiting import find_job
from service.jobs.job import Job, State
from service.pages.access import TOLD, PageRoute, problem_of, visitor
from service.pages.comparing import compared
from service.pages.fields import COMMON, PREFIX, option_fields
from service.pages.history import LABELS, Search, rows_of
from service.pages.sending import Sent, send
from service.pages.site import page, static_file
from service.problems import Problem, refusal
from service.schemas import job_path

RECENT: Final = 5
router = APIRouter(include_in_schema=False)
pages = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[Depends(visitor)])


@pages.get("/")
async def start(request: Request) -> Response:
    """The form; for whoever wants no page there is nothing here."""
    if not takes("text/html", request.headers.getlist("accept")):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return await _form(request, {})


@pages.post("/")
async def upload(request: Request) -> Response:
    """What was sent becomes an analysis; what is refused, the form again with what was typed and why."""
    sent = Sent()
    try:
        job = await send(request, sent)
    except tuple(TOLD) as error:
        problem, headers = problem_of(request, error)
        refused = await _form(request, sent.said, problem)
        refused.headers.update(headers)
        return refused
    return _lead_to(f"/analyses/{job.id}")


@pages.get("/analyses")
async def history(request: Request) -> Response:
    """The analyses of this tenant, found by label and state."""
    search = Search.of(request.query_params)
    rows, cursor = await run_sync(rows_of, parts_of(request), tenant_of(request), search)
    older = None if cursor is None else search.link(cursor)
    return page(request, "history.html", rows=rows, search=search, older=older, states=list(State), labels=LABELS)


@pages.get("/analyses/{job_id}")
async def analysis(request: Request, job_id: str) -> Response:
    """How far it is, its report, or what it ended with."""
    parts = parts_of(request)
    job = await run_sync(find_job, parts.store, tenant_of(request), job_id)
    shown = await run_sync(_ended, parts, job) if job.state.is_end else {"body": None, "problem": None}
    return page(request, "analysis.html", job=job, path=job_path(job.id), formats=FORMATS, **shown)


@pages.post("/analyses/{job_id}/cancel")
async def cancel_analysis(request: Request, job_id: str) -> Response:
    """Ends it, and shows it."""
    await run_sync(cancel, parts_of(request), tenant_of(request), job_id)
    return _lead_to(f"/analyses/{job_id}")


@pages.post("/analyses/{job_id}/delete")
async def delete_analysis(request: Request, job_id: str) -> Response:
    """Forgets it, and shows the others."""
    await run_sync(forget, parts_of(request), tenant_of(request), job_id)
    return _lead_to("/analyses")


@pages.get("/compare")
async def compare(request: Request, old: str = "", new: str = "") -> Response:
    """Two analyses side by side."""
    if not (old and new):
        hint = "choose one of each in the list of analyses"
        raise refusal("bad-request", HTTPStatus.BAD_REQUEST, "a comparison has an old and a new side", hint=hint)
    await limited(request)
    comparison = await compared(parts_of(request), tenant_of(request), {"old": old, "new": new})
    body = await run_sync(render_comparison_body, comparison)
    return page(request, "compare.html", body=body, old=old, new=new)


@router.get("/static/{name}")
async def static(name: str, if_none_match: Annotated[str, Header()] = "") -> Response:
    """Style sheets, scripts and the icon, for everybody."""
    found = static_file(name, if_none_match)
    if found is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return found


async def _form(request: Request, said: Mapping[str, str], problem: Problem | None = None) -> Response:
    """The form with what was typed, its problem at the field that it names, and the newest analyses."""
    parts = parts_of(request)
    rows, _ = await run_sync(rows_of, parts, tenant_of(request), Search({}, None), RECENT)
    fields = option_fields()
    named = {"model", "batch", "external_data", *LABELS, *(PREFIX + each.name for each in fields)}
    return page(
        request,
        "start.html",
        HTTPStatus.OK if problem is None else problem.status,
        common=[each for each in fields if each.name in COMMON],
        others=[each for each in fields if each.name not in COMMON],
        labels=LABELS,
        said=said,
        problem=problem,
        at=problem.where if problem is not None and problem.where in named else "",
        rows=rows,
        limits=parts.settings,
    )


def _ended(parts: Parts, job: Job) -> dict[str, Any]:
    """The report of a job that succeeded, the problem of any other."""
    if job.state is not State.SUCCEEDED:
        return {"body": None, "problem": stored_problem(job)}
    _, report = stored_report(parts.objects, job)
    return {"body": render_body(report, f"{job_path(job.id)}/"), "problem": None}


def _lead_to(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


router.include_router(pages)
