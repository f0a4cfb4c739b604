import json

import jsonschema

from analysis.report.schema import report_schema
from tests.analysis.report.analyses import sick_report


def test_the_report_is_valid_under_its_own_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())
    jsonschema.Draft202012Validator(report_schema()).validate(json.loads(sick_report().to_json()))


def test_numbers_that_json_cannot_write_are_three_strings_and_no_other() -> None:
    evidence = jsonschema.Draft202012Validator({**report_schema(), **report_schema()["$defs"]["Evidence"]})
    for number in (1.5, -2, "NaN", "Infinity", "-Infinity"):
        assert evidence.is_valid({"value": number, "threshold": 0.0})
    for other in ("nan", "inf", "1.5", None, [1.5]):
        assert not evidence.is_valid({"value": other, "threshold": 0.0})


def test_a_schema_says_where_it_is_served_and_which_dialect_it_speaks() -> None:
    schema = report_schema()
    assert schema["$id"] == "/v1/schema/report"
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["verdict"] is not None


def test_every_field_that_has_words_in_the_source_has_them_in_the_schema() -> None:
    evidence = report_schema()["$defs"]["Evidence"]["properties"]
    assert evidence["margin_decades"]["description"] == "How far beyond the threshold, in powers of ten."


def test_every_number_may_be_one_of_the_three_words_for_what_is_none() -> None:
    word = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}
    number, said = report_schema()["$defs"]["Range"]["properties"]["least"]["anyOf"]
    assert number == {"type": "number"}
    assert {**said, "enum": sorted(said["enum"])} == {**word, "enum": sorted(word["enum"])}


def test_models_that_keep_their_nulls_have_their_fields_in_the_schema() -> None:
    schema = report_schema()
    assert "cause" in schema["properties"]
    assert "same_as" in schema["$defs"]["Variant"]["properties"]
