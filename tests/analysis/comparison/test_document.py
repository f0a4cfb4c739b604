import json

import jsonschema
import pytest

from analysis.comparison.compare import compare
from analysis.comparison.document import Comparison, comparison_schema
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from tests.gallery import he, mlp, vectors, xavier

QUICK = parse_options({"effort": "quick"})


@pytest.fixture(scope="module")
def reports() -> tuple[Report, Report]:
    return analyze(mlp(3, "Relu", he()), vectors(), QUICK), analyze(mlp(12, "Sigmoid", xavier()), vectors(), QUICK)


def test_a_comparison_is_valid_under_its_own_schema(reports: tuple[Report, Report]) -> None:
    schema = comparison_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    for old in reports:
        for new in reports:
            content = compare(old, new).to_json()
            jsonschema.validate(json.loads(content, parse_constant=pytest.fail), schema)
            assert Comparison.model_validate_json(content).to_json() == content
    assert schema["$id"] == "/v1/schema/comparison"
