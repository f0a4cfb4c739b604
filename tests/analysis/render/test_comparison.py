"""A comparison at the terminal, by hand and in full."""

import json

import pytest

from analysis.comparison.compare import compare
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.render.comparison import WIDTH, render_baseline, render_comparison
from tests.analysis.comparison.small_reports import excerpt, found, small_report
from tests.gallery import he, mlp, vectors, xavier

OLD = small_report(
    "at_risk",
    found("GH303", "warning", "layer-1", "layer-4", spread=0.5),
    found("GH201", "warning", "layer-2", dead=0.2),
    found("GH105", "info"),
    gradient_flow={"decades_rms": -0.5},
    remedies=[{"variant": "relu"}],
)
NEW = small_report(
    "unhealthy",
    found("GH101", "error", "layer-1", "layer-2", flow=1.0),
    found("GH201", "warning", "layer-4", dead=0.2),
    found("GH105", "info"),
    layers=("stem", "inserted", "block1", "tail"),
    engine={"version": "0.1.0", "seed": 1, "effort": "standard"},
    gradient_flow={"decades_rms": -3.5},
    remedies=[{"variant": "he"}],
)
SUMMARY = """\
net.onnx -> net.onnx: REGRESSION
================================
The verdict goes from at_risk to unhealthy; findings: 1 gained, 1 moved, 1
unchanged, 1 lost.

note: Findings may come and go for other reasons than the model: engine.seed 0,
  now 1.

findings
  gained    error   GH101 vanishing-gradient
            flow 2 (limit 1)
            layer-1 stem, layer-2 inserted
  moved     warning GH201 dead-units
            names other layers
            now layer-4 tail
  lost      warning GH303 scale-imbalance
  unchanged GH105

numbers                                                      old         new
  flow in decades, by RMS                                   -0.5        -3.5

layers: 3 matched (2 by name, 1 by structure), 1 gained, 1 lost
  + layer-2 inserted
  - layer-3 block2

proven remedies
  + he
  - relu
"""


def test_a_comparison_is_told_worst_first() -> None:
    assert render_comparison(compare(excerpt(OLD), excerpt(NEW))) == SUMMARY


def test_reports_that_are_alike_are_told_in_few_lines() -> None:
    text = render_comparison(compare(excerpt(small_report()), excerpt(small_report())))
    assert text == (
        "net.onnx, same model: no regression\n===================================\n"
        "The verdict stays healthy; no findings.\n\nlayers: 4 matched (4 by id)\n"
    )


def test_a_baseline_says_how_much_it_accepts_and_what_is_new() -> None:
    assert render_baseline(compare(excerpt(OLD), excerpt(NEW)), "old.json") == (
        "baseline old.json: 2 known findings accepted, 1 new, 0 worsened, 1 gone\n"
        "  gained    error   GH101 vanishing-gradient\n"
        "  moved     warning GH201 dead-units\n"
        "            names other layers\n"
        "  note: Findings may come and go for other reasons than the model: engine.seed\n"
        "    0, now 1.\n"
    )
    same = render_baseline(compare(excerpt(OLD), excerpt(OLD)), "old.json")
    assert same == "baseline old.json: 3 known findings accepted, 0 new, 0 worsened, 0 gone\n"
    alone = small_report("at_risk", found("GH105", "info"))
    assert "1 known finding accepted" in render_baseline(compare(excerpt(alone), excerpt(alone)), "old.json")


@pytest.mark.parametrize("name", ["n", "a/very/long/name/" * 20, "names with spaces in them " * 20])
def test_a_comparison_fits_a_terminal(name: str) -> None:
    quick = parse_options({"effort": "quick"})
    models = (mlp(3, "Relu", he()), mlp(12, "Sigmoid", xavier()), mlp(6, "Relu", he(), bias=-8.0))
    reports = [json.loads(analyze(model, vectors(), quick).to_json()) for model in models]
    for report in reports:
        report["model"]["name"] = name
        report["layers"][-1]["name"] = name
        report["remedies"] = [{"variant": "+".join([name] * 3)}]
    for old in reports:
        for new in reports:
            comparison = compare(excerpt(old), excerpt(new))
            for text in (render_comparison(comparison), render_baseline(comparison, name)):
                assert all(len(line) <= WIDTH for line in text.splitlines())
                assert text.endswith("\n")
