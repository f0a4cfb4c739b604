from dataclasses import replace

import pytest

from analysis.facts import OutputFacts, TargetFacts
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, measurement, probe, run
from tests.analysis.diagnosis.rules.patients import ENDING, Numbers, evidence, found, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
TINY_STEPS = probe(replace(run("sgd", 0.4), learning_rate=1e-8))
NUMBERS = TargetFacts(kind="numbers", least=-2.0, most=2.0, mean=0.0, std=1.0, rms=1.0)
THOUSANDS = replace(NUMBERS, std=3000.0, rms=3000.0)
FRESH = OutputFacts(reading="", rms=0.3)
START = replace(ENDING, name="mse", value=1.1, chance=1.0)


def patient(targets: TargetFacts | None, outputs: OutputFacts | None = FRESH, **changes: object) -> object:
    return measurement(**{"loss": START, "targets": targets, "outputs": outputs, **changes})


@pytest.mark.parametrize(
    ("targets", "changes", "expected"),
    [
        (THOUSANDS, {}, WARNING),
        (THOUSANDS, {"probe": FAILS}, WARNING),
        (THOUSANDS, {"probe": LEARNS}, INFO),
        (THOUSANDS, {"probe": TINY_STEPS}, WARNING),
        (THOUSANDS, {"outputs": replace(FRESH, rms=301.0)}, None),  # made for them
        (THOUSANDS, {"loss": replace(START, value=0.4)}, None),  # trained
        (replace(THOUSANDS, far_decades=3.5), {}, None),  # GH506
        (THOUSANDS, {"outputs": None}, None),
        (replace(NUMBERS, std=0.005, rms=0.005), {}, WARNING),
        (replace(NUMBERS, mean=6.0, rms=6.1), {}, WARNING),
        (replace(NUMBERS, mean=-6.0, rms=6.1), {}, WARNING),
        (replace(NUMBERS, mean=6.0, rms=6.1), {"outputs": replace(FRESH, rms=5.0)}, None),
        (replace(NUMBERS, mean=5.0, rms=5.1), {}, None),
        (replace(NUMBERS, rms=30.0, std=30.0), {}, None),
        (replace(NUMBERS, std=0.01, rms=0.01), {}, None),
        (replace(NUMBERS, std=0.0), {}, None),
        (replace(THOUSANDS, kind="labels"), {}, None),
        (NUMBERS, {}, None),
        (None, {}, None),
    ],
)
def test_targets_far_from_what_a_fresh_network_writes_are_a_warning(
    targets: TargetFacts | None, changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH308", patient(targets, **changes)) is expected


@pytest.mark.parametrize(
    ("targets", "shown"),
    [
        (replace(NUMBERS, std=300.0, rms=300.0), {"target_rms": (300, 30, 1)}),
        (replace(NUMBERS, std=0.001, rms=0.001), {"target_std": (0.001, 0.01, 1)}),
        (replace(NUMBERS, mean=-50.0, rms=20.0), {"target_mean_over_std": (50, 5, 1)}),
    ],
)
def test_the_number_stands_beside_its_limit_and_the_last_layer_is_named(targets: TargetFacts, shown: Numbers) -> None:
    finding = found("GH308", patient(targets))
    assert evidence(finding) == shown
    assert finding.layers == ("layer-03",)
