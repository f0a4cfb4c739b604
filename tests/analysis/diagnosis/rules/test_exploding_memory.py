from dataclasses import replace

import pytest

from analysis.report import Severity
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.rules.patients import PROFILE, Numbers, evidence, found, remembering, severity

ERROR = Severity.ERROR


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (remembering(growth_decades=3.5), ERROR),
        (remembering(growth_decades=2.5), None),
        (remembering(growth_decades=3.0), None),
    ],
)
def test_growth_through_time_beyond_three_decades_is_an_error(
    changes: dict[str, object], expected: Severity | None
) -> None:
    assert severity("GH402", measurement(**changes)) is expected


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (None, {"growth_decades": (3.5, 3, 0.5)}),
        (2.0, {"growth_decades": (3.5, 3, 0.5)}),
        (2.5, {"growth_decades": (3.5, 3, 0.5), "state_growth_decades": (2.5, 2, 0.5)}),
    ],
)
def test_states_that_grow_by_more_than_two_decades_stand_beside_the_gradient(
    states: float | None, shown: Numbers
) -> None:
    finding = found("GH402", measurement(**remembering(growth_decades=3.5, state_growth_decades=states)))
    assert evidence(finding) == shown


def test_the_chain_that_grows_most_counts() -> None:
    chains = tuple(replace(PROFILE, growth_decades=growth) for growth in (1.0, 4.0, None, 2.0))
    assert evidence(found("GH402", measurement(through_time=chains))) == {"growth_decades": (4, 3, 1)}


@pytest.mark.parametrize("chains", [(), (replace(PROFILE, growth_decades=None),), (PROFILE,)])
def test_without_growth_the_lowest_limit_is_not_crossed(chains: tuple[object, ...]) -> None:
    assert severity("GH402", measurement(through_time=chains), growth_decades=0.5) is None
