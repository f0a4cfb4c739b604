from collections.abc import Callable
from dataclasses import replace

import pytest

from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.render.text import WIDTH, render_text
from analysis.report import Report
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.report.analyses import healthy_report, sick_report
from tests.gallery import he, mlp, vectors, xavier

QUICK = parse_options({"effort": "quick"})


@pytest.mark.parametrize(
    "make",
    [
        sick_report,
        healthy_report,
        lambda: analyze(mlp(6, "Relu", he(), bias=-8.0), vectors()),
        lambda: analyze(mlp(200, "Tanh", xavier(), width=8), vectors(), QUICK),  # in full it would use up its budget
        lambda: report_of(left_out=[(f"treatment {number} " * 9, "budget_seconds reached") for number in range(9)]),
    ],
    ids=["sick", "healthy", "dead", "deep", "cut"],
)
def test_a_summary_fits_a_terminal(make: Callable[[], Report]) -> None:
    text = render_text(make())
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert text.endswith("\n")


def test_of_what_was_left_out_five_are_told_and_the_rest_is_counted() -> None:
    told = render_text(report_of(left_out=[(f"treatment {number}", "budget") for number in range(7)]))
    assert told.endswith("  treatment 4: budget\n  and 2 more\n")
    told = render_text(report_of(left_out=[(f"treatment {number}", "budget") for number in range(5)]))
    assert told.endswith("  treatment 4: budget\n")


def test_a_summary_says_verdict_cause_layers_and_remedy() -> None:
    text = render_text(sick_report())
    assert text.splitlines()[0] == "mlp: UNHEALTHY"
    assert "error   GH101 vanishing-gradient [high]" in text
    assert "layer-01 fc0" in text
    assert "relu+batch_norm+he" in text
    assert "▁" in text
    assert "█" in text


def test_the_first_line_says_that_nobody_sent_a_batch() -> None:
    report = sick_report()
    invented = report.model_copy(update={"batch": report.batch.model_copy(update={"provenance": "synthetic"})})
    assert render_text(invented).splitlines()[0] == "mlp: UNHEALTHY (on a made-up batch)"
    assert render_text(invented).splitlines()[2].startswith("batch   The batch was made up")


def test_the_recipe_comes_first() -> None:
    title, rule, *lines = render_text(sick_report()).split("\n\n")[0].splitlines()
    assert (title, set(rule)) == ("mlp: UNHEALTHY", {"="})
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [
        "cause",
        "change",
        "moved",
        "cost",
        "sure",
    ]


def test_names_from_strangers_cannot_steer_the_terminal() -> None:
    name = "\x1b[2J\u202eevil\n\x00\u2028"
    report = sick_report()
    first = replace(report.layers[0], name=name)
    model = replace(report.model, name=name)
    text = render_text(report.model_copy(update={"layers": (first, *report.layers[1:]), "model": model}))
    assert "\\u001b[2J\\u202eevil\\u000a\\u0000\\u2028: UNHEALTHY\n" in text
    assert not set(text) & {"\x1b", "\u202e", "\x00", "\u2028"}


def test_a_healthy_summary_is_short() -> None:
    text = render_text(healthy_report())
    assert "No gradient-flow problem found." in text
    assert "findings" not in text
    assert "remedies" not in text
