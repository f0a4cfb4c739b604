import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analysis.experiment.export import Destination
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.render.html import render_html
from analysis.report import Report
from analysis.report.schema import report_schema
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.report.analyses import sick_report
from tests.beside import SHARED
from tests.gallery import he, mlp, vectors

EXAMPLE = SHARED / "report-example.json"
IDENTIFIERS = {
    "opset",
    "parameters",
    "evidence",
    "frozen",
    "moved",
    "absent",
    "factor_effects",
    "sandbox",
    "timings_seconds",
}
"""Objects whose keys are data."""


@pytest.fixture(scope="module")
def report() -> Report:
    return sick_report()


def test_reading_a_report_gives_the_same_report(report: Report) -> None:
    assert Report.from_json(report.to_json()).to_json() == report.to_json()


def test_non_finite_numbers_are_strings_and_valid_json() -> None:
    sick = analyze(mlp(6, "Relu", he(), bias=-8.0), vectors())
    content = sick.to_json()
    plain = json.loads(content, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert plain["gradient_flow"]["decades_rms"] == "-Infinity"
    jsonschema.Draft202012Validator(report_schema()).validate(plain)
    assert Report.from_json(content).gradient_flow.decades_rms == -math.inf


def paths(value: Any, at: str = "") -> set[str]:
    if isinstance(value, list):
        return {path for item in value for path in paths(item, at + "[]")}
    if not isinstance(value, dict):
        return {at}
    if at.rsplit(".", maxsplit=1)[-1].removesuffix("[]") in IDENTIFIERS:
        return {at}
    return {at} | {path for key, item in value.items() for path in paths(item, f"{at}.{key}")}


def test_every_field_of_the_agreed_example_is_there(report: Report, tmp_path: Path) -> None:
    if not EXAMPLE.exists():
        pytest.skip("the agreed example lies beside the repository, and is not there")
    quick = AnalysisOptions(effort="quick")  # type: ignore[arg-type]
    files = analyze(mlp(3, "Relu", he()), vectors(), quick, models=Destination(tmp_path))
    ours = paths(json.loads(report.to_json())) | paths(json.loads(files.to_json()))
    assert paths(json.loads(EXAMPLE.read_text())) - ours == set()


def test_what_was_not_measured_is_left_out_and_named(report: Report) -> None:
    plain = json.loads(report.to_json())
    by_id = {variant["id"]: variant for variant in plain["variants"]}
    assert by_id["he"]["probe"] is None
    assert "probe" in by_id["he"]["absent"]
    assert "leverage_log10" not in by_id["he"]["layers"][0]
    assert "leverage_log10" in by_id["he"]["absent"]
    assert by_id["clip"]["gradient_step"]["clip"]["kind"] == "global_norm"
    assert by_id["baseline"]["gradient_step"]["clip"] is None
    assert by_id["baseline"]["parameters"]["seed"] is None


def test_links_are_relative_and_the_schema_version_is_stated(report: Report) -> None:
    assert report.schema_version == "1.0"
    assert all(variant.model is None for variant in report.variants)


def test_options_that_are_not_the_default_are_told_and_older_reports_can_be_read(report: Report) -> None:
    assert report.options == {}
    chosen = AnalysisOptions(effort="quick", thresholds={"GH101.flow_decades": -3.5})  # type: ignore[arg-type]
    told = analyze(mlp(3, "Relu", he()), vectors(), chosen)
    assert told.options == {"effort": "quick", "thresholds": {"GH101.flow_decades": -3.5}}
    older = {name: value for name, value in json.loads(told.to_json()).items() if name != "options"}
    assert Report.from_json(json.dumps(older)).options is None


def test_layers_of_a_variant_are_told_from_those_that_a_treatment_added(report: Report) -> None:
    by_id = {variant.id: variant for variant in report.variants}
    assert (by_id["relu+he"].added_layers, by_id["relu+he"].removed_layers) == ((), ())
    treated = by_id["batch_norm"]
    assert treated.layers is not None
    matrices = [each.id for each in treated.layers if each.weight is not None]
    norms = [each.id for each in treated.layers if each.weight is None]
    assert (len(matrices), len(norms)) == (12, 11)
    assert treated.added_layers == tuple(norms)


def test_flow_is_the_first_layer_on_the_trunk_over_the_logits(report: Report) -> None:
    for variant in report.variants[:1] + tuple(each for each in report.variants if each.probe is not None):
        overall, layers = variant.measurement, variant.layers
        assert overall is not None
        assert layers is not None
        assert overall.gradient_flow is not None
        assert overall.logits_gradient_rms is not None
        first, last = layers[0].activation_gradient, layers[-1].activation_gradient
        assert first is not None
        assert last is not None
        assert last.rms == pytest.approx(overall.logits_gradient_rms)
        assert math.log10(first.rms / overall.logits_gradient_rms) == pytest.approx(overall.gradient_flow.decades_rms)


def test_nulls_of_a_variant_say_that_there_is_no_twin_no_probe_no_file_no_seed_and_no_clipping() -> None:
    published = json.loads(report_of(measurement()).to_json())
    (unchanged,) = published["variants"]
    assert {name: unchanged[name] for name in ("same_as", "probe", "model")} == {
        "same_as": None, "probe": None, "model": None,
    }  # fmt: skip
    assert "seed" in unchanged["parameters"]
    assert unchanged["parameters"]["seed"] is None
    assert "clip" in unchanged["gradient_step"]
    assert unchanged["gradient_step"]["clip"] is None


@pytest.mark.parametrize("variants", [0, 1, None])
def test_what_is_written_apart_is_what_pydantic_writes(report: Report, variants: int | None) -> None:
    """Numbers that are none among them, layers that were not measured, and no variants at all."""
    broken = report.variants[0].layers
    assert broken is not None
    odd = replace(broken[0], leverage_log10=-math.inf, update_ratio=math.nan)
    first = report.variants[0].model_copy(update={"layers": (odd, *broken[1:])})
    last = report.variants[-1].model_copy(update={"layers": None})
    told = report.model_copy(update={"variants": (first, *report.variants[1:], last)[:variants]})
    assert json.loads(told.to_json()) == json.loads(told.model_dump_json(exclude_none=True))
    assert json.loads(told.to_json()) == json.loads(told.to_json(indent=1))
    assert b'"-Infinity"' in told.to_json() or variants == 0


def test_a_published_report_is_one_line_unless_it_is_to_be_read() -> None:
    assert report_of(measurement()).to_json().count(b"\n") == 0
    assert report_of(measurement()).to_json(indent=2).startswith(b'{\n  "schema_version": ')


def test_a_report_is_short_where_it_is_shown_by_itself(report: Report) -> None:
    assert repr(report) == f"<Report {report.id} of {report.model.name}: {report.verdict.value}>"


ADDED = {
    "confidence_cap",
    "limit",
    "own",
    "clipped_at",
    "dropout",
    "own_loss",
    "unfolded",
    "block_gradient",
    "score",
    "bound",
    "cause",
    "link_misses_classes",
    "window",
    "warm_up",
    "warmed",
    "standardized",
    "evaluated",
    "target_variance",
    "ruled_out",
    "redrawn",
}
"""Fields of this version that earlier reports of the same major version do not have."""


def without_added(part: Any) -> Any:
    if isinstance(part, dict):
        return {name: without_added(value) for name, value in part.items() if name not in ADDED}
    return [without_added(each) for each in part] if isinstance(part, list) else part


def test_a_report_of_before_a_field_was_added_can_be_read(report: Report) -> None:
    """Stored reports outlive an upgrade of the service."""
    older = Report.from_json(json.dumps(without_added(json.loads(report.to_json()))).encode())
    assert (older.id, older.verdict, len(older.variants)) == (report.id, report.verdict, len(report.variants))
    assert render_html(older)
