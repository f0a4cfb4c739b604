"""The numbers of a report, each as it stands there."""

import re
from typing import Any

from analysis.report.numbers import Number, numbers_of
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import by_hand
from tests.analysis.report.analyses import sick_report


def stated(document: Any, number: Number) -> Any:
    """What the published form of the report says at the place of a number."""
    found = document
    for step in number.place.split("."):
        name, _, which = step.partition("[")
        found = found[name]
        if which == "baseline]":
            found = found[0]
        elif which:
            found = next(each for each in found if isinstance(each, dict) and is_meant(each, number))
    return found


def is_meant(each: dict[str, Any], number: Number) -> bool:
    labels = number.labels
    keys = {"id": labels.get("layer", labels.get("variant")), "rule": labels.get("rule")}
    keys |= {"variant": labels.get("variant")}
    return all(each[name] == wanted for name, wanted in keys.items() if name in each and wanted is not None)


def test_every_number_is_the_one_at_its_place() -> None:
    report = sick_report()
    document, checked = report.model_dump(mode="json"), 0
    for number in numbers_of(report):
        if "evidence[]" in number.place:
            continue
        assert stated(document, number) == number.value, number
        checked += 1
    assert checked > 100


def test_evidence_is_that_of_the_finding() -> None:
    report = sick_report()
    told = {
        (each.labels["rule"], each.labels["evidence"]): each.value
        for each in numbers_of(report)
        if each.name == "finding_value"
    }
    assert told == {(each.rule, name): said.value for each in report.findings for name, said in each.evidence.items()}


def test_names_are_plain_and_no_number_is_told_twice() -> None:
    numbers = list(numbers_of(by_hand()))
    assert all(re.fullmatch("[a-z][a-z0-9_]*", each.name) for each in numbers)
    assert len({(each.name, *each.labels.items()) for each in numbers}) == len(numbers)
    assert len({(each.name, tuple(each.labels)) for each in numbers}) == len({each.name for each in numbers})


def test_of_variants_the_unchanged_one_and_the_remedies_are_told() -> None:
    report = by_hand()
    told = {each.labels["variant"] for each in numbers_of(report) if each.name.startswith("variant_")}
    assert told == {"baseline", *(each.variant for each in report.remedies)}
    assert {each.labels.get("variant") for each in numbers_of(report_of())} == {None, "baseline"}
