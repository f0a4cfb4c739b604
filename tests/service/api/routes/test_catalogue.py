"""What the service knows, and the schemas that what it says obeys."""

import json
from http import HTTPStatus

import jsonschema
import pytest

from analysis.diagnosis.rules import RULES
from analysis.interventions.shelf import BY_TOKEN
from analysis.report import Report
from tests.service.application import Service, problem_in


def test_reports_obey_the_published_schema(service: Service, healthy: Report, sick: Report) -> None:
    schema = service.get("/v1/schema/report").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    for report in (healthy, sick):
        jsonschema.validate(json.loads(report.to_json()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"verdict": "fine"}, schema)


def test_options_obey_the_published_schema(service: Service) -> None:
    schema = service.get("/v1/schema/options").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"seed": 7, "effort": "quick", "freeze": ["b*"]}, schema)
    for wrong in ({"sed": 7}, {"seed": -1}, {"effort": "all"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert all(field.get("description") for field in schema["properties"].values())


def test_every_rule_has_a_page_and_thresholds_that_options_can_change(service: Service) -> None:
    rules = service.get("/v1/rules").json()
    assert [each["id"] for each in rules] == [rule.id for rule in RULES]
    one = service.get("/v1/rules/vanishing-gradient").json()
    assert one == next(each for each in rules if each["id"] == "GH101")
    page = service.ask("GET", "/v1/rules/gh101", headers={"Accept": "text/markdown"})
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.text == one["page"]
    problem_in(service.get("/v1/rules/GH999"), HTTPStatus.NOT_FOUND, "no-such-rule")


def test_every_treatment_has_a_page_and_the_token_that_options_name_it_by(service: Service) -> None:
    treatments = service.get("/v1/interventions").json()
    assert [each["token"] for each in treatments] == list(BY_TOKEN)
    one = service.get("/v1/interventions/lsuv").json()
    assert one == next(each for each in treatments if each["token"] == "lsuv")
    assert (one["factor"], one["page"].startswith(one["title"])) == ("initialization", True)
    page = service.ask("GET", "/v1/interventions/lsuv", headers={"Accept": "text/markdown"})
    assert page.headers["content-type"].startswith("text/markdown")
    assert page.text == one["page"]
    problem_in(service.get("/v1/interventions/magic"), HTTPStatus.NOT_FOUND, "no-such-treatment")
