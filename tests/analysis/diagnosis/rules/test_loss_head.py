import math
from dataclasses import replace

import pytest

from analysis.diagnosis.causes import diagnose
from analysis.facts import OutputFacts, Range
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement
from tests.analysis.diagnosis.rules.patients import ENDING, Numbers, anatomy, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
BARE = OutputFacts(reading="", off_logarithms=1.4)
ASTRAY = OutputFacts(reading="", link="Softmax", link_misses_classes=True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (anatomy(stacked_links=("softmax",)), WARNING),
        ({**anatomy(stacked_links=("softmax",)), "probe": LEARNS}, WARNING),  # never below its floor
        ({"outputs": ASTRAY}, WARNING),
        ({"outputs": ASTRAY, "probe": LEARNS}, WARNING),  # at its logits
        ({"outputs": ASTRAY, "batch": replace(measurement().batch, along_samples="p")}, None),  # GH603
        ({"outputs": BARE}, Severity.ERROR),
        ({"outputs": BARE, "probe": LEARNS}, Severity.ERROR),  # by cross-entropy
        (anatomy(head_activation="Relu"), WARNING),
        ({**anatomy(head_activation="Relu"), "probe": LEARNS}, INFO),
        ({"loss": replace(ENDING, value=90.0)}, WARNING),
        ({"loss": replace(ENDING, value=90.0), "probe": LEARNS}, INFO),
        ({"loss": replace(ENDING, value=24.0)}, WARNING),
        ({"loss": replace(ENDING, value=22.0)}, None),
        ({"loss": replace(ENDING, value=90.0, chance=None)}, None),
        ({"loss": replace(ENDING, value=0.0)}, None),
        ({}, None),
    ],
)
def test_an_output_that_does_not_fit_its_loss_is_a_warning(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH501", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        (anatomy(stacked_links=("softmax", "sigmoid")), {"probabilities_read_as_logits": (2, 0, None)}),
        ({"outputs": ASTRAY}, {"softmax_over_another_axis": (1, 0, None)}),
        ({"outputs": BARE}, {"log_of_probability_sum": (1.4, 0.05, pytest.approx(math.log10(28)))}),
        (anatomy(head_activation="Relu"), {"activations_before_the_loss": (1, 0, None)}),
        ({"loss": replace(ENDING, value=230.0)}, {"loss_over_chance_decades": (2, 1, 1)}),  # 100 times 2.3
    ],
)
def test_what_does_not_fit_is_counted_and_the_last_layer_of_the_trunk_named(
    changes: dict[str, object], shown: Numbers
) -> None:
    finding = found("GH501", measurement(**changes))
    assert evidence(finding) == shown
    assert finding.layers == ("layer-03",)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [("cross_entropy", WARNING), ("nll", WARNING), ("bce", WARNING), ("mse", None), ("graph", None)],
)
def test_an_activation_bounds_the_answers_of_a_classifier_only(loss: str, expected: Severity | None) -> None:
    patient = measurement(**anatomy(head_activation="Relu"), loss=replace(ENDING, name=loss))
    assert severity("GH501", patient) is expected


@pytest.mark.parametrize(
    ("value", "limit", "expected"),
    [(200.0, 2.0, None), (202.0, 2.0, WARNING), (1.0, -1.0, WARNING), (0.1, -1.0, None)],
)
def test_the_limit_is_in_decades_over_chance_and_may_lie_under_it(
    value: float, limit: float, expected: Severity | None
) -> None:
    """Chance is 2; the loss is 100, 101, 0.5 and 0.05 of it."""
    patient = measurement(loss=replace(ENDING, value=value, chance=2.0))
    assert severity("GH501", patient, loss_over_chance_decades=limit) is expected


def test_what_the_graph_shows_and_how_high_the_loss_starts_are_two_findings() -> None:
    both = measurement(**anatomy(stacked_links=("softmax",)), loss=replace(ENDING, value=230.0), probe=LEARNS)
    told = {next(iter(each.evidence)): each for each in diagnose(both) if each.rule == "GH501"}
    assert {name: each.severity for name, each in told.items()} == {
        "probabilities_read_as_logits": WARNING, "loss_over_chance_decades": INFO,
    }  # fmt: skip
    assert {each.layers for each in told.values()} == {("layer-03",)}


def test_an_explosion_explains_a_high_loss_and_what_the_graph_shows_explains_the_explosion() -> None:
    exploding = {"flow": flow(4.0, leverage_log10=Range(least=0.0, largest=6.0)), "probe": FAILS}
    high = {each.rule: each for each in diagnose(measurement(**exploding, loss=replace(ENDING, value=230.0)))}
    assert high["GH501"].caused_by == ("GH102",)
    assert high["GH102"].caused_by == ()
    stacked = {each.rule: each for each in diagnose(measurement(**exploding, **anatomy(stacked_links=("softmax",))))}
    assert stacked["GH102"].caused_by == ("GH501",)
