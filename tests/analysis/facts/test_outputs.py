import math
from dataclasses import FrozenInstanceError

import pytest

from analysis.facts import OutputFacts, TargetFacts
from analysis.facts.outputs import range_of_scores


def test_what_was_not_looked_at_is_left_out_and_nothing_changes_afterwards() -> None:
    outputs = OutputFacts(reading="Output y was read as numbers, as it stands.")
    targets = TargetFacts(kind="numbers", least=-1.0, most=1.0, mean=0.0, std=1.0, rms=1.0)
    assert outputs.least is outputs.most is outputs.floor is outputs.doubled_floor is None
    assert not outputs.doubled
    assert targets.imbalance is targets.tail_share is None
    with pytest.raises(FrozenInstanceError):
        outputs.rms = 1.0  # type: ignore[misc]


def test_scores_so_far_apart_have_that_cross_entropy() -> None:
    apart = range_of_scores(5, 0.2)
    assert math.log1p(4 * math.exp(-apart)) == pytest.approx(0.2)
