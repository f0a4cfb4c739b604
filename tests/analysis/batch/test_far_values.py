import numpy as np
import pytest

from analysis.batch.far_values import far_values

RANDOM = np.random.default_rng(0)
PLAIN = RANDOM.standard_normal((64, 5)).astype(np.float32)


def marked(count: int, mark: float, values: np.ndarray = PLAIN) -> np.ndarray:
    """So many samples hold a mark at their second feature."""
    found = values.copy()
    found[:count, 1] = mark
    return found


@pytest.mark.parametrize("values", [marked(8, -9999.0), marked(8, 1e6), marked(1, 5000.0), marked(24, -9999.0)])
def test_marks_are_far_from_what_is_usual(values: np.ndarray) -> None:
    found = far_values(values, 64)
    assert found is not None
    count = int((np.abs(values[:, 1]) > 1000).sum())
    assert found.share == pytest.approx(count / 64)
    assert 1000 < np.abs(values).max() / 3 < found.times < np.abs(values).max() * 3


def test_usual_values_lie_within_ten_deviations_and_other_features_have_no_limits() -> None:
    found = far_values(marked(4, -9999.0), 64)
    assert found is not None
    assert found.least.shape == found.most.shape == (1, 5)
    assert found.most[0, 1] - found.least[0, 1] == pytest.approx(20.0, rel=0.4)
    assert np.isinf(np.delete(found.least, 1)).all()
    assert np.isinf(np.delete(found.most, 1)).all()
    assert (PLAIN[4:, 1] > found.least[0, 1]).all()


@pytest.mark.parametrize(
    ("values", "samples"),
    [
        (PLAIN, 64),
        (marked(8, -40.0), 64),  # near enough
        (marked(8, -900.0), 64),  # near enough for its deviation
        (marked(8, -9999.0, 1e4 * PLAIN), 64),  # one of many such
        (marked(40, -9999.0), 64),  # most are marks: they are what is usual, and the others lie close to each other
        (RANDOM.exponential(100.0, (64, 5)), 64),
        (np.exp(2 * RANDOM.standard_normal((64, 5))), 64),
        (RANDOM.poisson(0.2, (64, 5)).astype(np.float32) * 1000, 64),  # more than half is one number
        (marked(8, -9999.0)[:15], 15),
        (marked(8, -9999.0).T, 64),  # samples along another axis
        (marked(8, np.nan), 64),
        (marked(8, -9999.0)[:, 1], 64),
        (marked(8, -9999.0).astype(np.int64), 64),
        (np.tile(marked(8, -9999.0), 820), 64),  # a sound
    ],
)
def test_all_else_is_not(values: np.ndarray, samples: int) -> None:
    assert far_values(values, samples) is None


def test_sequences_are_judged_at_each_step() -> None:
    steps = RANDOM.standard_normal((64, 7, 3))
    steps[:16, 2, 1] = -999999.0
    found = far_values(steps, 64)
    assert found is not None
    assert found.share == 0.25
    assert np.isfinite(found.least).sum() == 1
    assert np.isfinite(found.least[0, 2, 1])


def test_of_very_many_samples_some_are_looked_at() -> None:
    many = np.random.default_rng(1).standard_normal((100_000, 2))
    many[::25, 0] = 1e9
    found = far_values(many, len(many))
    assert found is not None
    assert found.share == pytest.approx(0.04, abs=0.01)
