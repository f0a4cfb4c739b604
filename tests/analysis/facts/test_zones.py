import math

import pytest

from analysis.facts import Flow, Zone
from analysis.facts.zones import EXPLODING_DECADES, GREEN_DECADES, VANISHING_DECADES, zone


@pytest.mark.parametrize(
    ("rms", "norm", "expected"),
    [
        (0.0, 0.0, Zone.GREEN),
        (1.0, -1.0, Zone.GREEN),
        (VANISHING_DECADES - 0.1, VANISHING_DECADES - 1.0, Zone.RED),
        (VANISHING_DECADES - 0.1, VANISHING_DECADES + 0.1, Zone.GREY),  # the one normalisation alone
        (EXPLODING_DECADES + 0.1, EXPLODING_DECADES + 1.0, Zone.RED),
        (EXPLODING_DECADES + 0.1, EXPLODING_DECADES - 0.1, Zone.GREY),
        (-GREEN_DECADES - 0.1, -GREEN_DECADES - 0.2, Zone.GREY),
        (-GREEN_DECADES - 0.1, -GREEN_DECADES + 0.1, Zone.GREEN),
        (GREEN_DECADES + 0.1, GREEN_DECADES + 0.2, Zone.GREY),
        (-math.inf, -math.inf, Zone.RED),
        (math.inf, math.inf, Zone.RED),
        (None, None, Zone.UNKNOWN),
        (0.0, None, Zone.UNKNOWN),
    ],
)
def test_both_normalisations_must_agree_on_red(rms: float | None, norm: float | None, expected: Zone) -> None:
    assert zone(Flow(decades_rms=rms, decades_norm=norm)) is expected
    assert zone(Flow(decades_rms=norm, decades_norm=rms)) is expected


def test_a_flow_that_is_not_a_number_is_never_green() -> None:
    assert zone(Flow(decades_rms=math.nan, decades_norm=math.nan)) is not Zone.GREEN
