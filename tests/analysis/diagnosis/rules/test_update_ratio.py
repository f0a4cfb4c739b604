from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement, probe, run, stats
from tests.analysis.diagnosis.rules.patients import ENDING, evidence, found, ratios, severity

WARNING, INFO = Severity.WARNING, Severity.INFO
OWN_LEARNS = probe(replace(run("adam", 0.3), own=True), run("sgd", 1.0))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (ratios(1e-4, 1e-4, 1e-4), WARNING),
        (ratios(1e-2, 1e-2, 1e-2), None),
        ({**ratios(0.5, 0.5, 0.5), "learning_rate": 0.1}, WARNING),
        ({**ratios(0.5, 0.5, 0.5), "learning_rate": 0.1, "probe": LEARNS}, WARNING),  # at rates of others
        ({**ratios(0.5, 0.5, 0.5), "learning_rate": 0.1, "probe": OWN_LEARNS}, INFO),
        ({**ratios(0.05, 0.05, 0.05), "learning_rate": 0.1}, INFO),
        ({**ratios(1e-3, 1e-3, 1e-3), "learning_rate": 0.1}, None),
        ({**ratios(1e-4, 1e-4, 1e-4), "probe": LEARNS}, INFO),
        (ratios(1e-3, 1e-3, 1e-3), None),
        (ratios(0.0, 0.0, 0.0), None),
        ({**ratios(1e-4, 1e-4, 1e-4), "loss": replace(ENDING, name="graph")}, None),
        ({**ratios(1e-9, 1e-9, 1e-9), "loss": replace(ENDING, name="graph"), "learning_rate": 0.1}, WARNING),
        ({**ratios(1e-4, 1e-4, 1e-4), "flow": flow(head_gradient_log10=-4.0), "loss": ENDING}, None),  # converged
        ({**ratios(1e-4, 1e-4, 1e-4), "loss": replace(ENDING, value=0.19, chance=1.0)}, None),  # learnt
        ({**ratios(1e-4, 1e-4, 1e-4), "loss": replace(ENDING, value=0.2, chance=1.0)}, WARNING),
        ({**ratios(9e-7, 9e-7, 9e-7), "loss": replace(ENDING, value=0.1, chance=1.0), "learning_rate": 0.1}, WARNING),
        ({"layers": (), "stats": ()}, None),
        ({"stats": (stats(1, update_ratio=None), stats(2, update_ratio=None), stats(3, update_ratio=None))}, None),
        ({**ratios(1e-6, 1e-6, 1e-6), "learning_rate": 0.1}, INFO),
        ({**ratios(9e-7, 9e-7, 9e-7), "learning_rate": 0.1}, WARNING),
        ({**ratios(0.1, 0.1, 0.1), "learning_rate": 0.1}, INFO),
        ({**ratios(0.11, 0.11, 0.11), "learning_rate": 0.1}, WARNING),
        ({**ratios(1e-4, 1e-4, 1e-4), "learning_rate": 0.1}, None),
        ({**ratios(9e-5, 9e-5, 9e-5), "learning_rate": 0.1}, INFO),
        ({**ratios(0.01, 0.01, 0.01), "learning_rate": 0.1}, None),
        ({**ratios(0.011, 0.011, 0.011), "learning_rate": 0.1}, INFO),
    ],
)
def test_steps_of_the_wrong_size_are_told_by_the_rate_where_one_is_known(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH304", measurement(**changes)) is expected


def test_steps_in_branches_behind_a_layer_scale_are_not_too_small() -> None:
    small = ratios(1e-1, 1e-7, 1e-7)
    assert severity("GH304", measurement(**small)) is Severity.WARNING
    first, *branches = measurement().layers
    layers = (first, *(replace(each, on_trunk=False) for each in branches))
    assert severity("GH304", measurement(**small, layers=layers)) is None


@pytest.mark.parametrize(
    ("rate", "shares", "shown"),
    [
        (None, (1e-5, 1e-4, 1.0), (1e-4, 1e-3, 1)),  # the median
        (0.1, (1e-7, 1e-7, 1.0), (1e-7, 1e-6, 1)),
        (0.1, (1e-5, 1e-5, 1.0), (1e-5, 1e-4, 1)),
        (0.1, (1.0, 1.0, 1e-7), (1.0, 0.1, 1)),
        (0.1, (0.1, 0.1, 1e-7), (0.1, 0.01, 1)),
    ],
)
def test_the_median_stands_beside_the_limit_that_it_crossed(
    rate: float | None, shares: tuple[float, ...], shown: tuple[float, float, float]
) -> None:
    finding = found("GH304", measurement(**ratios(*shares), learning_rate=rate))
    assert evidence(finding) == {"median_update_ratio": shown}
    assert finding.affects == ("sgd",)


def test_where_no_layer_is_on_the_trunk_all_are_asked() -> None:
    branches = tuple(replace(each, on_trunk=False) for each in measurement().layers)
    finding = found("GH304", measurement(**ratios(1e-5, 1e-4, 1.0), layers=branches))
    assert evidence(finding) == {"median_update_ratio": (1e-4, 1e-3, 1)}
