"""Rows of the list: found by label and state, each with the verdict of its report."""

import pytest

from analysis.report import Report
from service.jobs.job import State
from service.pages.history import LONGEST_PAGE, Search, rows_of, verdict_of
from service.problems import ProblemError
from tests.service.application import Service, job_of

ALL = Search({}, None)


def test_a_search_is_what_was_typed_without_what_was_not() -> None:
    typed = {"project": " net ", "commit": "", "model_version": " ", "state": "failed", "cursor": "", "other": "x"}
    assert Search.of(typed) == Search({"project": "net"}, State.FAILED)
    assert Search.of({}) == ALL
    with pytest.raises(ProblemError) as refused:
        Search.of({"state": "lost"})
    assert (refused.value.problem.where, "queued, running" in refused.value.problem.hint) == ("state", True)


@pytest.mark.parametrize("cursor", ["\0", "0-1\n", "0" * 37, "x"])
def test_a_page_begins_at_an_analysis(cursor: str) -> None:
    with pytest.raises(ProblemError) as refused:
        Search.of({"cursor": cursor})
    assert (refused.value.problem.status, refused.value.problem.where) == (400, "cursor")


def test_a_search_can_be_linked_to_and_comes_back_as_it_was() -> None:
    search = Search({"project": "a&b=c"}, State.QUEUED)
    assert search.link("0-1") == "/analyses?project=a%26b%3Dc&state=queued&cursor=0-1"
    assert ALL.link(None) == "/analyses"


def test_rows_come_a_page_at_a_time_newest_first(service: Service) -> None:
    jobs = [job_of(service.submit("?project=p")) for _ in range(3)]
    service.submit("?project=q")
    search = Search({"project": "p"}, State.QUEUED)
    rows, cursor = rows_of(service.parts, "default", search, 2)
    assert ([row.job.id for row in rows], cursor) == ([jobs[2], jobs[1]], jobs[1])
    rest, end = rows_of(service.parts, "default", Search(search.labels, search.state, cursor), 2)
    assert ([row.job.id for row in rest], end) == ([jobs[0]], None)
    assert rows_of(service.parts, "default", Search({}, State.FAILED)) == ([], None)
    assert rows_of(service.parts, "somebody else", ALL) == ([], None)
    assert LONGEST_PAGE > 4
    assert len(rows_of(service.parts, "default", ALL)[0]) == 4


def test_a_verdict_is_read_off_the_beginning_of_a_report(service: Service, sick: Report, healthy: Report) -> None:
    for report in (sick, healthy, sick.model_copy(update={"id": "\N{SNOWMAN}" * 200, "summary": "x" * 10_000})):
        service.submit()
        done = service.parts.store.get(service.succeed(report).id)
        assert done is not None
        assert verdict_of(service.parts.objects, done) == report.verdict.value
    service.submit()
    assert verdict_of(service.parts.objects, service.fail()) == ""
