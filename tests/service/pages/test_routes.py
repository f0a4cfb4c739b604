"""The pages as text: the form, the list, one analysis in every state, two side by side."""

import re
from http import HTTPStatus

import pytest

from analysis.render.formats import FORMATS
from analysis.render.html import render_body
from analysis.report import Report
from service.jobs.job import State
from service.pages.fields import option_fields
from tests.service.application import FILES, MODEL, UNSUPPORTED, Service, job_of, named, problem_in

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_the_form_is_for_browsers_and_the_api_has_nothing_there(service: Service) -> None:
    page = service.ask("GET", "/", headers={"Accept": BROWSER})
    assert (page.status_code, page.headers["content-type"]) == (HTTPStatus.OK, "text/html; charset=utf-8")
    problem_in(service.ask("GET", "/", headers={"Accept": "application/json"}), HTTPStatus.NOT_FOUND, "not-found")
    assert not [
        path for path in service.app.openapi()["paths"] if not path.startswith(("/v1", "/healthz", "/readyz", "/m"))
    ]


def test_the_form_has_every_option_and_label_with_its_help(service: Service) -> None:
    text = service.get("/").text
    names = re.findall(r'<(?:input|select|textarea)[^>]* name="([^"]+)"', text)
    labels = ["project", "commit", "model_version"]
    assert names[:3] == ["model", "batch", "external_data"]
    assert set(names[3:]) == {*labels, *(f"options.{each.name}" for each in option_fields())}
    for each in names:
        assert f'<label for="{each}">' in text
        assert f'id="{each}-help"' in text or each in labels


@pytest.mark.parametrize(
    ("said", "where"),
    [({"options.seed": "minus"}, "options.seed"), ({"options.learning_rate": "0"}, "options.learning_rate"),
     ({"project": "p" * 201}, "project")],
)  # fmt: skip
def test_what_is_refused_is_the_form_again_with_what_was_typed_and_the_problem_at_its_field(
    service: Service, said: dict[str, str], where: str
) -> None:
    typed = {"commit": '"><b>', **said}
    answer = service.ask("POST", "/", files=FILES, data=typed)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    (field,) = re.findall(rf'<input id="{where}"[^>]*>', answer.text)
    assert f'value="{said[where]}"' in field
    assert 'aria-invalid="true"' in field
    assert f'class="complaint" role="alert" id="{where}-problem"' in answer.text
    assert f'-problem">{where.removeprefix("options.")}: ' not in answer.text
    assert 'value="&#34;&gt;&lt;b&gt;"' in answer.text


def test_a_form_without_a_model_is_refused_at_the_model(service: Service) -> None:
    answer = service.ask("POST", "/", files={"model": ("", b"")}, data={"commit": "c"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert 'id="model-problem"' in answer.text
    assert service.ask("POST", "/", content=b"model=x").status_code == HTTPStatus.UNSUPPORTED_MEDIA_TYPE


def test_an_analysis_under_way_refreshes_itself_and_can_be_cancelled(service: Service) -> None:
    job = job_of(service.submit("?project=p%26q"))
    page = service.get(f"/analyses/{job}").text
    assert f'data-events="/v1/analyses/{job}/events"' in page
    assert '<noscript><meta http-equiv="refresh"' in page
    assert 'data-stage="queued" aria-current="step"' in page
    assert 'href="/analyses?project=p%26q"' in page
    claimed = service.claim()
    assert service.parts.store.keep(claimed, claimed.created, "prove", 0.71)
    assert "71 %" in service.get(f"/analyses/{job}").text
    led = service.ask("POST", f"/analyses/{job}/cancel")
    assert (led.status_code, led.headers["location"]) == (HTTPStatus.SEE_OTHER, f"/analyses/{job}")
    page = service.get(f"/analyses/{job}").text
    assert "the analysis was cancelled" in page
    assert "data-events" not in page
    assert "http-equiv" not in page


def test_an_analysis_that_succeeded_is_its_report_with_links_that_lead_somewhere(
    service: Service, sick: Report
) -> None:
    job = job_of(service.submit())
    service.succeed(sick)
    page = service.get(f"/analyses/{job}").text
    assert render_body(named(sick, job), f"/v1/analyses/{job}/") in page
    links = re.findall(rf'href="(/v1/analyses/{job}/[^"]+)"', page)
    assert {f"/v1/analyses/{job}/report.{each.suffix}" for each in FORMATS} <= set(links)
    for link in {each for each in links if "/report" in each}:
        assert service.get(link).status_code == HTTPStatus.OK, link


def test_an_analysis_that_failed_says_why(service: Service) -> None:
    job = job_of(service.submit())
    service.fail(State.FAILED, UNSUPPORTED)
    page = service.get(f"/analyses/{job}")
    assert page.status_code == HTTPStatus.OK, "the page is there, whatever it tells"
    assert "node &#39;det&#39;" in page.text
    assert "unsupported-operator" in page.text


def test_the_list_finds_by_label_and_state_and_offers_two_to_compare(
    service: Service, sick: Report, healthy: Report
) -> None:
    old, new = job_of(service.submit("?project=p")), job_of(service.submit("?project=q"))
    assert 'name="old"' not in service.get("/analyses").text
    service.succeed(healthy)
    service.succeed(sick)
    waiting = job_of(service.submit("?project=q", files={"model": ("other.onnx", MODEL)}))
    text = service.get("/analyses").text
    assert re.findall(r'name="(old|new)" value="([^"]+)"[^>]* checked', text) == [("new", new), ("old", old)]
    assert "unhealthy" in text
    assert "made-up batch" in text
    found = service.get("/analyses?project=q&commit=&model_version=&state=").text
    assert (old in found, new in found, waiting in found) == (False, True, True)
    found = service.get("/analyses?project=q&state=queued").text
    assert (new in found, waiting in found) == (False, True)
    assert 'value="q"' in found
    assert "Nothing was found." in service.get("/analyses?project=r").text


def test_a_long_list_leads_on_with_its_search(service: Service) -> None:
    jobs = [job_of(service.submit("?project=p")) for _ in range(26)]
    first = service.get("/analyses?project=p").text
    (older,) = re.findall(r'<a href="([^"]+)" rel="next">', first)
    assert older == f"/analyses?project=p&amp;cursor={jobs[1]}"
    rest = service.get(older.replace("&amp;", "&")).text
    assert jobs[0] in rest
    assert jobs[1] not in rest
    assert 'rel="next"' not in rest


def test_two_are_compared_side_by_side(service: Service, sick: Report, healthy: Report) -> None:
    ids = {}
    for side, report in (("old", healthy), ("new", sick)):
        ids[side] = job_of(service.submit())
        service.succeed(report)
    page = service.get(f"/compare?old={ids['old']}&new={ids['new']}").text
    assert "regression" in page
    assert f'href="/compare?old={ids["new"]}&amp;new={ids["old"]}"' in page
    assert service.get("/compare?old=x").status_code == HTTPStatus.BAD_REQUEST
    assert service.get(f"/compare?old={ids['old']}&new=x").status_code == HTTPStatus.NOT_FOUND


def test_deleting_forgets(service: Service) -> None:
    job = job_of(service.submit())
    assert service.ask("POST", f"/analyses/{job}/delete").headers["location"] == "/analyses"
    assert service.get(f"/analyses/{job}").status_code == HTTPStatus.GONE
