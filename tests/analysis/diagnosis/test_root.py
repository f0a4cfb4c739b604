"""Which finding opens a diagnosis."""

from analysis.diagnosis.root import cause_of, root_cause
from analysis.report import Report
from analysis.report.parts import Cause
from tests.analysis.diagnosis.builders import LEARNS, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.diagnosis.trials import CURED, SICK, error, remark, warning


def test_the_root_is_the_worst_and_of_equals_the_least_explained_and_then_the_first() -> None:
    explained = error("GH101").model_copy(update={"caused_by": ("GH305",)})
    assert root_cause([warning("GH100"), error("GH301")]) == error("GH301")
    assert root_cause([explained, error("GH301")]) == error("GH301")
    assert root_cause([error("GH302"), error("GH301")]) == error("GH301")
    assert root_cause([remark("GH901")]) is None


def test_a_warning_that_an_error_follows_from_opens_before_the_error_and_one_that_explains_less_does_not() -> None:
    fed, drawn = warning("GH305"), warning("GH301")
    silent = error("GH201").model_copy(update={"caused_by": ("GH305",)})
    stuck = error("GH105").model_copy(update={"caused_by": ("GH301", "GH305")})
    assert root_cause([silent, stuck, drawn, fed]) == fed
    assert root_cause([stuck, drawn]) == drawn
    assert root_cause([silent, error("GH402"), fed]) == error("GH402")


def test_the_headline_is_said_as_data_and_null_where_nothing_accuses() -> None:
    report = report_of(SICK, [CURED])
    assert report.cause == Cause(rule="GH101", layers=("layer-01",))
    assert cause_of(report.findings) == report.cause
    assert b'"cause":{"rule":"GH101","layers":["layer-01"]}' in report.to_json()
    sound = report_of(measurement(probe=LEARNS))
    assert sound.cause is None
    assert b'"cause":null' in sound.to_json()
    assert Report.from_json(sound.to_json()) == sound
