"""Two reports by hand, and what is to be said of them; two real ones, to see that nothing is by hand only."""

import json
import math
from typing import Any

import pytest

from analysis.clock import BUDGET_REACHED
from analysis.comparison.compare import compare, fails_beyond
from analysis.comparison.document import Comparison, Side
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report, Verdict
from analysis.report.gate import Gate
from tests.analysis.comparison.small_reports import FOUR, excerpt, found, small_report
from tests.gallery import he, mlp, vectors, xavier

SICK = small_report("unhealthy", found("GH101", "error", "layer-1", flow=1.0))
DEAD = found("GH201", "warning", "layer-2", dead=0.5)
QUICK = parse_options({"effort": "quick"})


def compared(old: dict[str, Any], new: dict[str, Any], fail_on: str = "error") -> Comparison:
    return compare(excerpt(old), excerpt(new), Gate.parse(fail_on))


def fails(old: dict[str, Any], new: dict[str, Any], fail_on: str) -> bool:
    """As `analyze --baseline` does."""
    return fails_beyond(compared(old, new, fail_on), Gate.parse(fail_on))


def engine(**more: Any) -> dict[str, Any]:
    return {"version": "0.1.0", "seed": 0, "effort": "standard", **more}


@pytest.fixture(scope="module")
def reports() -> tuple[Report, Report]:
    return analyze(mlp(3, "Relu", he()), vectors(), QUICK), analyze(mlp(12, "Sigmoid", xavier()), vectors(), QUICK)


# ------------------------------------------------------------------ regressions


def test_a_report_is_no_regression_to_itself() -> None:
    told = compared(SICK, SICK)
    assert (told.regression, told.reasons, told.same_model, told.comparable) == (False, (), True, True)
    assert (told.verdict.trend, told.notes, told.differences) == ("same", (), ())
    assert told.summary == "No regression: the verdict stays unhealthy; findings: 1 unchanged."
    assert [each.matched_by.value for each in told.layers.matched] == ["id"] * 4


def test_two_reports_without_findings_say_so() -> None:
    told = compared(small_report(), small_report())
    assert told.summary == "No regression: the verdict stays healthy; no findings."


def test_a_gained_error_is_a_regression_and_says_why() -> None:
    told = compared(small_report(), SICK)
    assert told.regression
    assert told.reasons == (
        "the verdict goes from healthy to unhealthy",
        "GH101 vanishing-gradient gained (error)",
    )
    assert told.summary == "Regression: the verdict goes from healthy to unhealthy; findings: 1 gained."


def test_a_worsened_error_is_a_regression_under_the_same_verdict() -> None:
    told = compared(SICK, small_report("unhealthy", found("GH101", "error", "layer-1", flow=2.0)))
    assert (told.verdict.trend, told.regression) == ("same", True)
    assert told.reasons == ("GH101 vanishing-gradient worsened (flow 1 decades further beyond its threshold)",)


def test_the_tolerance_that_is_asked_for_decides_what_is_worse() -> None:
    old, new = (excerpt(small_report("unhealthy", found("GH101", "error", flow=flow))) for flow in (1.0, 1.4))
    regressions = [compare(old, new, tolerance_decades=tolerance).regression for tolerance in (0.3, 0.5)]
    assert regressions == [True, False]


def test_a_lost_a_moved_and_an_eased_finding_are_none() -> None:
    old = small_report(
        "unhealthy", found("GH101", "error", flow=2.0), found("GH201", "error", "layer-1"), DEAD | {"rule": "GH303"}
    )
    new = small_report("unhealthy", found("GH101", "error", flow=1.0), found("GH201", "error", "layer-3"))
    told = compared(old, new)
    assert not told.regression
    assert told.summary == "No regression: the verdict stays unhealthy; findings: 1 moved, 1 eased, 1 lost."


@pytest.mark.parametrize(
    ("old", "new", "trend", "regression"),
    [
        ("healthy", "at_risk", "worse", True),
        ("healthy", "unhealthy", "worse", True),
        ("at_risk", "unhealthy", "worse", True),
        ("unhealthy", "at_risk", "better", False),
        ("at_risk", "healthy", "better", False),
        ("healthy", "inconclusive", "unknown", False),
        ("inconclusive", "healthy", "unknown", False),
        ("inconclusive", "unhealthy", "unknown", False),
        ("inconclusive", "inconclusive", "same", False),
    ],
)
def test_a_worse_verdict_is_a_regression_whatever_the_findings(
    old: str, new: str, trend: str, regression: bool
) -> None:
    for fail_on in ("error", "warning", "info"):
        told = compared(small_report(old), small_report(new), fail_on)
        assert (told.verdict.trend.value, told.regression, told.fail_on) == (trend, regression, fail_on)


@pytest.mark.parametrize(
    ("old", "new", "regression"),
    [
        ("healthy", "inconclusive", True), ("at_risk", "inconclusive", True), ("unhealthy", "inconclusive", False),
        ("inconclusive", "healthy", False), ("inconclusive", "inconclusive", False),
    ],
)  # fmt: skip
def test_losing_the_evidence_is_a_regression_where_the_gate_asks_for_evidence(
    old: str, new: str, regression: bool
) -> None:
    assert compared(small_report(old), small_report(new), "error,inconclusive").regression is regression


def test_a_gained_warning_is_a_regression_to_a_gate_that_looks_at_warnings() -> None:
    old, new = (
        small_report("at_risk", found("GH303", "warning")),
        small_report("at_risk", found("GH303", "warning"), DEAD),
    )
    assert not compared(old, new, "error").regression
    assert compared(old, new, "warning").reasons == ("GH201 dead-units gained (warning)",)


# ------------------------------------------------------------------ a baseline


@pytest.mark.parametrize(
    ("old", "new", "fail_on", "expected"),
    [
        (SICK, SICK, "error", False),
        (small_report(), SICK, "error", True),
        (SICK, small_report("unhealthy", found("GH101", "error", "layer-1", flow=2.0)), "error", True),
        (SICK, small_report("unhealthy", found("GH101", "error", "layer-4", flow=1.0)), "error", False),
        (small_report(), small_report("at_risk", DEAD), "error", False),
        (small_report(), small_report("at_risk", DEAD), "warning", True),
        (small_report("at_risk", DEAD), small_report("at_risk", DEAD), "warning", False),
        (small_report(), small_report("at_risk"), "error", False),
        (small_report(), small_report("at_risk"), "warning", True),
        (small_report("at_risk"), small_report("at_risk"), "warning", False),
        (small_report(), small_report("inconclusive"), "error", False),
        (small_report(), small_report("inconclusive"), "inconclusive", True),
        (small_report("inconclusive"), small_report("inconclusive"), "inconclusive", False),
    ],
)
def test_a_baseline_accepts_what_it_shows_and_nothing_else(
    old: dict[str, Any], new: dict[str, Any], fail_on: str, expected: bool
) -> None:
    assert fails(old, new, fail_on) is expected


@pytest.mark.parametrize("fail_on", ["error", "warning", "info", "error,inconclusive"])
def test_a_baseline_never_makes_a_gate_stricter(reports: tuple[Report, Report], fail_on: str) -> None:
    gate = Gate.parse(fail_on)
    verdicts = [report.model_copy(update={"verdict": verdict}) for report in reports for verdict in Verdict]
    for old in verdicts:
        for new in verdicts:
            assert gate.fails(new) or not fails_beyond(compare(old, new, gate), gate)


# ------------------------------------------------------------------ how far they are alike


def test_another_model_is_what_comparisons_are_for() -> None:
    told = compared(SICK, SICK | {"model": {"name": "other.onnx", "sha256": "other"}})
    assert (told.same_model, told.comparable, told.notes) == (False, True, ())
    assert [each.matched_by.value for each in told.layers.matched] == ["name"] * 4
    assert [(each.what, each.old, each.new) for each in told.differences] == [("model.sha256", "".join(FOUR), "other")]
    assert (told.old.model, told.new.model) == ("net.onnx", "other.onnx")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engine": engine(seed=1)}, "engine.seed 0, now 1"),
        ({"engine": engine(effort="quick")}, "engine.effort standard, now quick"),
        ({"engine": engine(version="0.2.0")}, "engine.version 0.1.0, now 0.2.0"),
        ({"batch": {"sha256": "c"}}, "batch.sha256 b, now c"),
        ({"loss": {"name": "mse"}}, "loss.name bce, now mse"),
        ({"options": {"ignore": ["GH1"]}}, "options.ignore the default, now ['GH1']"),
        ({"options": {"thresholds": {"GH101.flow_decades": -3.5}}}, "options.thresholds the default, now {'GH101"),
        ({"options": {"novelty": 1}}, "options.novelty the default, now 1"),
    ],
)
def test_what_findings_come_and_go_by_besides_is_noted(change: dict[str, Any], words: str) -> None:
    told = compared(SICK | {"loss": {"name": "bce"}}, SICK | {"loss": {"name": "bce"}} | change)
    assert not told.comparable
    (note,) = told.notes
    assert note.startswith("Findings may come and go for other reasons than the model: ")
    assert words in note
    assert len(note) < 160


@pytest.mark.parametrize(
    "change",
    [
        {"engine": engine(torch="3.0", device="cuda")},
        {"engine": engine(precision="float64", onnxruntime="2.0")},
        {"options": {"budget_seconds": 7.0, "clip_norm": 2.0, "seed": 0, "effort": "standard"}},
        {"engine": {}},
        {"batch": {}},
    ],
)
def test_what_no_finding_depends_on_or_is_not_known_is_no_reason_for_doubt(change: dict[str, Any]) -> None:
    old = SICK | {"engine": engine(torch="2.0", device="cpu", precision="float32", onnxruntime="1.0")}
    told = compared(old, old | change)
    assert (told.comparable, told.notes) == (True, ())


def test_options_that_an_older_report_does_not_tell_show_in_its_id() -> None:
    silent = {name: value for name, value in SICK.items() if name != "options"}
    assert compared(silent, silent).comparable
    assert compared(silent, SICK | {"model": {"sha256": "other"}, "id": "1"}).comparable
    (note,) = compared(silent, SICK | {"id": "1"}).notes
    assert "options differ" in note
    for without in ({"id": ""}, {"id": "0"}):
        assert compared(silent, SICK | without).comparable
        assert compared(SICK | without, silent).comparable


def test_seed_and_effort_are_told_as_what_ran_and_not_again_as_options() -> None:
    new = {"engine": engine(seed=1, effort="quick"), "options": {"seed": 1, "effort": "quick"}}
    told = compared(SICK | {"options": {"seed": 0, "effort": "standard"}}, SICK | new)
    assert [each.what for each in told.differences] == ["engine.effort", "engine.seed"]
    (note,) = told.notes
    assert note.endswith(" than the model: engine.effort standard, now quick, engine.seed 0, now 1.")


def test_each_side_says_what_was_analysed_and_how() -> None:
    new = {
        "id": "7", "model": {"name": "other.onnx", "sha256": "m"}, "batch": {"sha256": "c"},
        "engine": {"version": "0.2.0", "effort": "quick", "seed": 3}, "gradient_flow": {"zone": "green"},
    }  # fmt: skip
    assert compared(SICK, SICK | new).new == Side(
        id="7", model="other.onnx", model_sha256="m", batch_sha256="c", version="0.2.0", effort="quick", seed=3,
        zone="green",
    )  # fmt: skip


def test_options_are_told_where_they_differ_and_in_the_order_of_the_alphabet() -> None:
    old = SICK | {"options": {"ignore": ["GH1"], "train": "all", "select": ["GH1"], "batch_size": 8, "device": "cpu"}}
    new = SICK | {"options": {"ignore": ["GH1"], "train": "one", "select": ["GH2"], "batch_size": 9, "device": "gpu"}}
    told = [(each.what, each.matters) for each in compared(old, new).differences]
    assert told == [
        ("options.batch_size", True), ("options.device", False), ("options.select", True), ("options.train", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "the default"), (7, "7"), ("x" * 40, "x" * 40), ("x" * 41, "x" * 39 + "…"), ("x" * 99, "x" * 39 + "…")],
)
def test_a_long_value_is_cut_to_forty_characters(value: object, shown: str) -> None:
    (note,) = compared(SICK | {"options": {"novelty": 1}}, SICK | {"options": {"novelty": value}}).notes
    assert note.endswith(f": options.novelty 1, now {shown}.")


def test_a_report_that_was_cut_is_noted() -> None:
    left = [
        {"what": "probe", "why": BUDGET_REACHED},
        {"what": "he", "why": "other"},
        {"what": "x", "why": BUDGET_REACHED},
    ]
    (note,) = compared(SICK, SICK | {"left_out": left}).notes
    assert note == "The new report was cut by its budget: probe and 1 more not done."
    (note,) = compared(SICK | {"left_out": left[:2]}, SICK).notes
    assert note == "The old report was cut by its budget: probe not done."


# ------------------------------------------------------------------ numbers, remedies, layers


def test_numbers_of_both_reports_stand_side_by_side() -> None:
    old = SICK | {
        "gradient_flow": {"zone": "red", "decades_rms": -7.5, "leverage_log10": {"least": -5.0, "largest": 1.0}},
        "loss": {"name": "mse", "value": 1.5, "chance": 1.0},
        "variants": [{"id": "baseline", "probe": {"best_loss_over_chance": 1.0}}],
    }
    new = SICK | {"gradient_flow": {"zone": "green", "decades_rms": "-Infinity", "decades_norm": 0.5}}
    told = compared(old, new)
    assert {name: (each.old, each.new) for name, each in told.numbers.items()} == {
        "gradient_flow.decades_rms": (-7.5, -math.inf),
        "gradient_flow.decades_norm": (None, 0.5),
        "gradient_flow.leverage_log10.least": (-5.0, None),
        "gradient_flow.leverage_log10.largest": (1.0, None),
        "loss.value": (1.5, None),
        "loss.chance": (1.0, None),
        "probe.best_loss_over_chance": (1.0, None),
    }
    assert (told.old.zone, told.new.zone) == ("red", "green")
    assert json.loads(told.to_json())["numbers"]["gradient_flow.decades_rms"] == {"old": -7.5, "new": "-Infinity"}


def test_numbers_that_neither_report_tells_are_not_there() -> None:
    assert compared(SICK, SICK).numbers == {}
    only_chance = compared(SICK | {"loss": {"chance": 1.0}}, SICK).numbers
    assert {name: (each.old, each.new) for name, each in only_chance.items()} == {"loss.chance": (1.0, None)}


def test_remedies_come_and_go_best_first() -> None:
    old = SICK | {"remedies": [{"variant": "relu"}, {"variant": "he"}, {"variant": "batch_norm"}]}
    new = SICK | {"remedies": [{"variant": "batch_norm"}, {"variant": "lsuv"}, {"variant": "he"}]}
    told = compared(old, new).remedies
    assert (told.gained, told.lost, told.kept) == (("lsuv",), ("relu",), ("batch_norm", "he"))


def test_layers_are_matched_and_carry_their_numbers() -> None:
    stats = [{"id": "layer-1", "leverage_log10": -5.0, "update_ratio": 1e-6}, {"id": "layer-2"}]
    old = SICK | {"variants": [{"id": "baseline", "layers": stats}]}
    renamed = small_report("unhealthy", layers=("stem", "extra block", "block1", "block2", "tail")) | {
        "variants": [
            {
                "id": "baseline",
                "layers": [{"id": "layer-1", "leverage_log10": -1.0}, {"id": "layer-3", "update_ratio": 0.5}],
            }
        ]
    }
    told = compared(old, renamed).layers
    assert [(each.old.id, each.new.id, each.matched_by.value) for each in told.matched] == [
        ("layer-1", "layer-1", "name"),
        ("layer-2", "layer-3", "name"),
        ("layer-3", "layer-4", "name"),
        ("layer-4", "layer-5", "structure"),
    ]
    first = told.matched[0]
    assert first.leverage_log10 is not None
    assert (first.leverage_log10.old, first.leverage_log10.new) == (-5.0, -1.0)
    assert first.update_ratio is not None
    assert (first.update_ratio.old, first.update_ratio.new) == (1e-6, None)
    assert told.matched[1].leverage_log10 is None
    assert told.matched[1].update_ratio is not None
    assert (told.matched[1].update_ratio.old, told.matched[1].update_ratio.new) == (None, 0.5)
    assert [(each.id, each.name) for each in told.gained] == [("layer-2", "extra block")]
    assert told.lost == ()


def test_a_layer_without_counterpart_is_lost() -> None:
    told = compared(SICK, small_report("unhealthy", layers=("stem", "block1"))).layers
    assert ([(each.id, each.name) for each in told.lost], told.gained) == (
        [("layer-3", "block2"), ("layer-4", "head")], (),
    )  # fmt: skip


def test_a_finding_is_followed_through_a_renamed_export() -> None:
    """Every node and weight has another name, and a layer was put in front."""
    old = small_report("at_risk", DEAD)
    names = ("a" * 12, *("b" * len(name) for name in FOUR))
    new = small_report("at_risk", found("GH201", "warning", "layer-3", dead=0.5), layers=names)
    (change,) = compared(old, new).findings
    assert change.change == "unchanged"
    assert {each.matched_by.value for each in compared(old, new).layers.matched} == {"structure"}


# ------------------------------------------------------------------ real reports


def test_real_reports_compare_like_their_published_form(reports: tuple[Report, Report]) -> None:
    healthy, sick = reports
    told = compare(healthy, sick)
    assert told.regression
    assert (told.verdict.old, told.verdict.new) == (Verdict.HEALTHY, Verdict.UNHEALTHY)
    assert {each.rule for each in told.findings if each.change == "gained"} == {each.rule for each in sick.findings}
    assert compare(excerpt(json.loads(healthy.to_json())), excerpt(json.loads(sick.to_json()))) == told
    back = compare(sick, healthy)
    assert not back.regression
    assert {each.change.value for each in back.findings} == {"lost"}


@pytest.mark.parametrize(
    "model",
    [mlp(12, "Sigmoid", xavier()), mlp(6, "Sigmoid", xavier()), mlp(20, "Relu", xavier())],
    ids=["12 sigmoid", "6 sigmoid", "20 relu"],
)
def test_another_seed_of_the_same_sick_network_is_no_regression(model: bytes) -> None:
    """What the tolerance is for, in either direction."""
    seeds = [analyze(model, vectors(), parse_options({"effort": "quick", "seed": seed})) for seed in range(3)]
    for old in seeds:
        for new in seeds:
            told = compare(old, new, Gate.parse("warning"))
            assert not told.regression, told.reasons
            assert told.comparable is (old is new)
