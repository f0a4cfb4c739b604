"""The summary at the terminal: of real reports, and line by line of reports made of plain numbers."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from analysis.diagnosis.brief import brief_of
from analysis.facts import Confidence
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.render.text import WIDTH, render_text
from analysis.report import Advice, Evidence, Finding, Remedy, Report, Severity, Verdict
from analysis.report.parts import AdviceKind, Decades, Proof
from tests.analysis.diagnosis.builders import FAILS, layer, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import VANISHING, profiled
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


def test_a_healthy_summary_is_short() -> None:
    text = render_text(healthy_report())
    assert "No gradient-flow problem found." in text
    assert "findings" not in text
    assert "remedies" not in text


# ------------------------------------------------------------------ made of plain numbers


def told(report: Report, **changes: Any) -> list[list[str]]:
    """The lines of each part."""
    return [part.splitlines() for part in render_text(report.model_copy(update=changes)).split("\n\n")]


def of_layers(*rms: float | None, **stated: Any) -> Report:
    """A report of as many layers, with these gradients arriving."""
    numbers = range(1, len(rms) + 1)
    stats = tuple(replace(each, **stated) for each in profiled(*rms))
    return report_of(measurement(layers=tuple(map(layer, numbers)), stats=stats))


def found(rule: str, **changes: Any) -> Finding:
    return Finding(
        rule=rule, name="x", severity=Severity.ERROR, confidence=Confidence.HIGH, layers=(), message="x.",
        evidence={}, affects=(), caused_by=(), remedies=(),
    ).model_copy(update=changes)  # fmt: skip


def proven(rank: int, variant: str, worst: float, unchanged: float | None, **changes: Any) -> Remedy:
    return Remedy(
        rank=rank, variant=variant, before=Decades(), after=Decades(), equivalent_to=(), destructive=False,
        changes_function=True, training_only=False, cost="nothing", recipe="Do it.",
        proof=Proof(kind="learning", best_loss_over_chance=0.1, worst=worst, unchanged=unchanged, seeds=2),
    ).model_copy(update=changes)  # fmt: skip


def test_the_title_is_underlined_and_words_of_a_verdict_stand_apart() -> None:
    assert told(report_of(), verdict=Verdict.AT_RISK)[0][:2] == ["model.onnx: AT RISK", "==================="]


def test_parts_stand_apart_by_a_line_and_a_healthy_network_has_two() -> None:
    assert render_text(of_layers(1.0, 1.0, 1.0)) == (
        "model.onnx: HEALTHY\n===================\ncause   No gradient-flow problem found.\n"
        "sure    By its gradient flow alone: it was not trained.\n\n"
        "gradient by depth (input left, log scale 0.0 .. 0.0)\n  ▁▁▁\n"
    )


def test_every_sentence_of_the_recipe_stands_behind_its_label() -> None:
    report = report_of(measurement(flow=VANISHING, probe=FAILS)).model_copy(
        update={
            "remedies": (proven(1, "relu", 0.3, 1.0),),
            "advice": (Advice(kind=AdviceKind.ADAM, words="Take Adam.", values={}),),
        }
    )
    invented = report.model_copy(update={"batch": report.batch.model_copy(update={"provenance": "synthetic"})})
    lines, brief = told(invented)[0][2:], brief_of(invented)
    said: dict[str, str] = {}
    for line in lines:
        label = line[:8].strip() or list(said)[-1]
        said[label] = f"{said.get(label, '')} {line[8:]}".strip()
    assert list(said.items()) == [
        ("batch", brief.batch), ("cause", brief.cause), ("first", "Take Adam."), ("change", "Do it."),
        ("moved", brief.moved), ("cost", brief.cost), ("sure", brief.certainty),
    ]  # fmt: skip
    assert all(said.values())


def test_a_long_sentence_goes_on_under_its_beginning() -> None:
    report = report_of(measurement(flow=VANISHING, probe=FAILS))
    words = " ".join(["x" * 35] * 3)
    lines = told(report, remedies=(proven(1, "relu", 0.3, 1.0, recipe=words),))[0]
    at = lines.index("change  " + "x" * 35 + " " + "x" * 35)
    assert lines[at + 1] == " " * 8 + "x" * 35


@pytest.mark.parametrize(
    ("rms", "low", "high", "bars"),
    [
        (tuple(10.0**power for power in range(-7, 1)), "-7.0", "0.0", "▁▂▃▄▅▆▇█"),
        ((1e-20, 1e-12, 1.0), "-12.0", "0.0", "▁▁█"),  # no more than twelve decades
        ((10.0, 1e3), "1.0", "3.0", "▁█"),
        ((1e-3, 1e-5, 1e-4), "-5.0", "-3.0", "█▁▅"),  # 3.5 of 7 is rounded to the even 4
        ((0.5, None, 0.0, math.inf, math.nan, 50.0), "-0.3", "1.7", "▁█"),
        ((0.1, 0.1), "-1.0", "-1.0", "▁▁"),
    ],
)
def test_gradients_are_bars_between_the_least_and_the_largest(
    rms: tuple[float, ...], low: str, high: str, bars: str
) -> None:
    assert told(of_layers(*rms))[1] == [f"gradient by depth (input left, log scale {low} .. {high})", f"  {bars}"]


@pytest.mark.parametrize("rms", [(), (0.1,), (0.1, None), (0.1, 0.0), (0.1, math.inf)])
def test_of_a_single_gradient_there_is_no_course(rms: tuple[float, ...]) -> None:
    report = of_layers(*rms)
    assert "gradient by depth" not in render_text(report)
    nothing = report.variants[0].model_copy(update={"layers": None})
    assert "gradient by depth" not in "".join(told(report, variants=(nothing,))[0])


@pytest.mark.parametrize(("count", "shown"), [(77, 77), (78, 78), (79, 40), (156, 78), (157, 53)])
def test_more_layers_than_fit_are_thinned_evenly_from_the_first_on(count: int, shown: int) -> None:
    assert len(told(of_layers(*[0.1] * count))[1][1].strip()) == shown
    assert told(of_layers(1.0, *[0.1] * (count - 1)))[1][1].strip()[0] == "█"


def test_findings_are_told_with_evidence_and_cause() -> None:
    evidence = {
        "flow_decades": Evidence(value=-6.12345, threshold=-2.8),
        "reach": Evidence(value=1234.5, threshold=1e-4),
        "margin": Evidence(value=0.00051, threshold=12.5),
    }
    findings = (
        found("GH101", name="vanishing-gradient", evidence=evidence),
        found("GH303", severity=Severity.WARNING, confidence=Confidence.LOW, caused_by=("GH101", "GH102")),
        found("GH105", severity=Severity.INFO),
    )
    (told_findings,) = [part for part in told(report_of(), findings=findings) if part[0] == "findings"]
    assert told_findings == [
        "findings",
        "  error   GH101 vanishing-gradient [high]",
        "          flow_decades -6.12 (limit -2.8), reach 1.23e+03 (limit 0.0001), margin",
        "          0.00051 (limit 12.5)",
        "  warning GH303 x [low, caused by GH101, GH102]",
        "  info    GH105 x [high]",
    ]


def test_the_layers_that_learn_last_are_told_flagged_ones_first() -> None:
    report = of_layers(*[1.0] * 9)
    ratios = (9e-3, None, 0.0, 5e-3, 7e-3, 0.5, 4e-3, 8e-3, 6e-3)
    stats = [replace(each, update_ratio=ratio) for each, ratio in zip(profiled(*[1.0] * 9), ratios, strict=True)]
    stats[5] = replace(stats[5], flags=("GH201",), weight_gradient=None, leverage_log10=None)
    stats[8] = replace(stats[8], leverage_log10=-5.04)
    variant = report.variants[0].model_copy(update={"layers": tuple(stats)})
    layers = (*report.layers[:8], replace(report.layers[8], name="a/" * 13 + "z"))
    whole = {"variants": (variant,), "findings": (found("GH201"),)}
    assert told(report, layers=layers, **whole)[-1] == [
        "worst layers                            |gradient|     |g|/|w|    leverage",
        "  layer-06 fc6                                   -    5.00e-01           -",
        "  layer-03 fc3                            1.00e-01    0.00e+00      10^0.5",
        "  layer-07 fc7                            1.00e-01    4.00e-03      10^0.5",
        "  layer-04 fc4                            1.00e-01    5.00e-03      10^0.5",
        "  …yer-09 a/a/a/a/a/a/a/a/a/a/a/a/a/z     1.00e-01    6.00e-03     10^-5.0",
        "  layer-05 fc5                            1.00e-01    7.00e-03      10^0.5",
    ]
    assert "worst layers" not in render_text(report.model_copy(update={"variants": (variant,)}))  # no finding
    unmeasured = of_layers(1.0, update_ratio=None).model_copy(update={"findings": (found("GH201"),)})
    assert "worst layers" not in render_text(unmeasured)


def test_a_name_that_just_fits_is_not_cut() -> None:
    report = of_layers(1.0)
    for length, shown in ((26, "layer-01 " + "n" * 26), (27, "…yer-01 " + "n" * 27)):
        layers = (replace(report.layers[0], name="n" * length),)
        assert told(report, layers=layers, findings=(found("GH201"),))[-1][1].startswith(f"  {shown}  ")


def test_five_remedies_are_told_with_the_worst_seed_and_the_unchanged_model() -> None:
    remedies = (
        proven(1, "relu+he", 0.256, 1.2345),
        proven(2, "he", 0.5, None, destructive=True),
        proven(3, "n" * 50, 0.5, 1.0),
        proven(4, "n" * 50 + "m", 12.0, 0.00012),
        proven(5, "e", 0.0123, 1.0),
        proven(6, "f", 0.5, 1.0),
    )
    assert told(report_of(), remedies=remedies)[-1] == [
        "proven remedies, of equals the smallest change first      worst loss   unchanged",
        "  1. relu+he                                                    0.26        1.23",
        "  2. he (weights redrawn)                                       0.50           -",
        f"  3. {'n' * 50}         0.50        1.00",
        f"  4. …{'n' * 48}m        12.00     0.00012",
        "  5. e                                                         0.012        1.00",
    ]


def test_what_was_left_out_goes_on_under_its_beginning() -> None:
    left = told(report_of(left_out=[("training of it", "word " * 16)]))[-1]
    assert left == ["left out", f"  training of it:{' word' * 12}", f"    {' '.join(['word'] * 4)}"]


@pytest.mark.parametrize(("count", "end"), [(5, "  t4: b"), (6, "  and 1 more"), (7, "  and 2 more")])
def test_what_is_too_much_is_counted(count: int, end: str) -> None:
    left = told(report_of(left_out=[(f"t{number}", "b") for number in range(count)]))[-1]
    assert (left[:2], left[5], left[-1]) == (["left out", "  t0: b"], "  t4: b", end)


def test_the_first_line_says_that_nobody_sent_a_batch() -> None:
    report = report_of()
    invented = report.model_copy(update={"batch": report.batch.model_copy(update={"provenance": "synthetic"})})
    lines = render_text(invented).splitlines()
    assert lines[:2] == ["model.onnx: HEALTHY (on a made-up batch)", "=" * 40]
    assert lines[2].startswith("batch   The batch was made up")


def test_names_from_strangers_cannot_steer_the_terminal() -> None:
    name = "\x1b[2J\u202eevil\n\x00\u2028"
    report = of_layers(0.1)
    layers, model = (replace(report.layers[0], name=name),), replace(report.model, name=name)
    text = render_text(report.model_copy(update={"layers": layers, "model": model, "findings": (found(name),)}))
    assert text.startswith("\\u001b[2J\\u202eevil\\u000a\\u0000\\u2028: HEALTHY\n=====")
    assert text.count("\\u202e") == 4  # title, cause, finding, layer
    assert not set(text) & {"\x1b", "\u202e", "\x00", "\u2028"}


def test_what_was_not_proven_is_called_no_change() -> None:
    unproven = report_of(
        measurement(flow=VANISHING, probe=FAILS), left_out=[("training of x", "budget_seconds reached")]
    )
    assert brief_of(unproven).change.startswith("No treatment was proven to help: budget_seconds reached.")
    text = render_text(unproven)
    assert "\ntried   No treatment was proven" in text
    assert "\nchange " not in text
