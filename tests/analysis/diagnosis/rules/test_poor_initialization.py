import pytest

from analysis.facts import Anatomy, LayerStats, WeightStats
from analysis.report import Severity
from tests.analysis.diagnosis.builders import LEARNS, flow, measurement, stats
from tests.analysis.diagnosis.rules.patients import Numbers, changed, evidence, found, severity, weighted

WARNING, INFO = Severity.WARNING, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({**weighted(initialization_gain=0.1, target_gain=1.4), "flow": flow(-2.0)}, WARNING),
        (weighted(initialization_gain=0.1, target_gain=1.4), INFO),  # gradients flow all the same
        ({**weighted(initialization_gain=0.58, target_gain=1.41), "flow": flow(-2.0)}, INFO),
        ({**weighted(initialization_gain=0.1, target_gain=1.4), "flow": flow(-2.0), "probe": LEARNS}, INFO),
        ({**weighted(initialization_gain=0.1, target_gain=1.4), "flow": flow(-2.0), "normalized": True}, INFO),
        ({**weighted(initialization_gain=14.0, target_gain=1.0), "flow": flow(-2.0)}, WARNING),  # too large
        (weighted(initialization_gain=None, target_gain=1.4), None),
        (weighted(initialization_gain=0.1, target_gain=None), None),
        (weighted(initialization_gain=1.2, target_gain=1.41), None),
        ({**weighted(initialization_gain=0.1, target_gain=1.4), "trained": True}, None),
    ],
)
def test_weights_of_the_wrong_size_are_a_warning_where_gradients_suffer(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH301", measurement(**changes)) is expected


def drawn(*gains: float | None) -> dict[str, tuple[LayerStats, ...]]:
    """Layers whose weights have these gains where 1 would fit; None: no weight."""
    weights = [None if gain is None else WeightStats(norm=5.0, rms=0.1, initialization_gain=gain, target_gain=1.0)
               for gain in gains]  # fmt: skip
    return {"stats": tuple(stats(place, weight=weight) for place, weight in enumerate(weights, 1))}


@pytest.mark.parametrize(
    ("gains", "expected", "shown", "layers"),
    [
        ((0.01, 10.0, 1.0), WARNING, {"gain_decades": (1, 0.7, 0.3)}, ("layer-01", "layer-02")),
        ((0.01, 1e-3, 1e4), WARNING, {"gain_decades": (3, 0.7, 2.3)}, ("layer-01", "layer-02", "layer-03")),
        ((1.0, 10**0.5, 0.1), INFO, {"gain_decades": (0.5, 0.3, 0.2)}, ("layer-02", "layer-03")),
    ],
)
def test_the_median_of_the_deviations_stands_beside_its_limit_and_the_layers_beyond_it_are_named(
    gains: tuple[float, ...], expected: Severity, shown: Numbers, layers: tuple[str, ...]
) -> None:
    finding = found("GH301", measurement(**drawn(*gains), flow=flow(-2.0)))
    assert finding.severity is expected
    assert evidence(finding) == shown
    assert finding.layers == layers


def test_a_deviation_at_its_limit_is_within_it() -> None:
    tenth = measurement(**drawn(0.1, 0.1, 0.1), flow=flow(-2.0))
    finding = found("GH301", tenth, gain_decades=1.0)
    assert finding.severity is INFO
    assert evidence(finding) == {"gain_decades": (1, 0.3, 0.7)}
    assert severity("GH301", tenth, gain_decades_remark=1.0) is None
    mixed = found("GH301", measurement(**drawn(0.01, 0.01, 0.1), flow=flow(-2.0)), gain_decades=1.0)
    assert mixed.layers == ("layer-01", "layer-02")


@pytest.mark.parametrize(
    "few", [drawn(0.1, 0.1, None), {**drawn(0.1, 0.1, 0.1), **changed(2, on_trunk=False)}], ids=["weights", "trunk"]
)
def test_it_takes_three_matrices_on_the_trunk(few: dict[str, object]) -> None:
    assert severity("GH301", measurement(**few, flow=flow(-2.0))) is None


@pytest.mark.parametrize(("changes", "expected"), [({}, WARNING), ({"probe": LEARNS}, INFO), ({"trained": True}, None)])
def test_a_layer_that_lets_nothing_through_is_a_bad_draw(changes: dict[str, object], expected: Severity | None) -> None:
    patient = measurement(anatomy=Anatomy(zero_layers=("layer-02",)), **changes)
    assert severity("GH301", patient) is expected
    if expected is not None:
        assert evidence(found("GH301", patient)) == {"layers_of_zeros": (1, 0, None)}
        assert found("GH301", patient).layers == ("layer-02",)
