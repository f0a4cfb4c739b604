import pytest

from analysis.facts import WeightStats
from analysis.report import Severity
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, measurement, stats
from tests.analysis.diagnosis.rules.patients import anatomy, changed, evidence, found, severity, weighted

WARNING, ERROR, INFO = Severity.WARNING, Severity.ERROR, Severity.INFO


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (weighted(duplicate_fraction=1.0), ERROR),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-4.0)}, ERROR),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=0.5)}, WARNING),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-4.0, input_rms=20.0)}, WARNING),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=0.5), "probe": FAILS}, ERROR),
        (weighted(duplicate_fraction=0.5), WARNING),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-2.8)}, WARNING),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=-2.9)}, ERROR),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=1.8)}, WARNING),
        ({**weighted(duplicate_fraction=1.0), "flow": flow(transport_decades=1.9)}, ERROR),
        ({**weighted(duplicate_fraction=1.0), "probe": LEARNS}, WARNING),
        ({**weighted(duplicate_fraction=0.5), "probe": LEARNS}, INFO),
        (weighted(duplicate_fraction=0.2), None),
        (weighted(duplicate_fraction=0.1), None),
        (weighted(), None),
    ],
)
def test_equal_units_are_an_error_unless_random_cotangents_come_through(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH302", measurement(**changes)) is expected


def copied(*shares: float | None) -> dict[str, object]:
    """Layers with these shares of equal units; None: no weight."""
    weights = [None if share is None else WeightStats(norm=5.0, rms=0.1, duplicate_fraction=share) for share in shares]
    return {"stats": tuple(stats(place, weight=weight) for place, weight in enumerate(weights, 1))}


@pytest.mark.parametrize(
    ("patient", "worst", "layers"),
    [
        (copied(0.5, 0.75, 1.0), 0.75, ("layer-01", "layer-02")),  # the last has targets of its own
        (copied(0.5, None, 1.0), 0.5, ("layer-01",)),
        ({**copied(0.5, 0.75, 0.1), **anatomy(zero_branches=("layer-02",))}, 0.5, ("layer-01",)),
        ({**copied(1.0, 0.5, 0.1), **changed(1, on_trunk=False)}, 1.0, ("layer-01", "layer-02")),
    ],
)
def test_hidden_layers_with_equal_units_are_named_beside_the_worst_share(
    patient: dict[str, object], worst: float, layers: tuple[str, ...]
) -> None:
    """None of them is a layer on the trunk that works as one unit."""
    finding = found("GH302", measurement(**patient))
    assert evidence(finding) == {"duplicate_fraction": (worst, 0.2, None)}
    assert finding.layers == layers
    assert finding.severity is WARNING
    assert severity("GH302", measurement(**patient, probe=LEARNS)) is INFO


def test_one_layer_on_the_trunk_that_works_as_one_unit_is_enough_for_an_error() -> None:
    assert severity("GH302", measurement(**copied(0.5, 1.0, 0.1))) is ERROR
