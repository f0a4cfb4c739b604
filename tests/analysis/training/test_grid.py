import pytest

from analysis.facts import ProbeKind
from analysis.training.grid import kind_for, minibatches_of


def test_192_samples_test_learning_and_fewer_memorising() -> None:
    assert kind_for(191) is ProbeKind.MEMORIZING
    assert kind_for(192) is ProbeKind.LEARNING


@pytest.mark.parametrize(("samples", "size"), [(192, 32), (383, 32), (384, 64), (10_000, 64)])
def test_learning_minibatches_are_epochs_of_shuffled_samples(samples: int, size: int) -> None:
    minibatches = list(minibatches_of(range(samples), ProbeKind.LEARNING, 0, 50))
    assert len(minibatches) == 50
    assert all(len(set(rows)) == size for rows in minibatches)
    per_epoch = samples // size
    first_epoch = [row for rows in minibatches[:per_epoch] for row in rows]
    assert len(set(first_epoch)) == len(first_epoch)


@pytest.mark.parametrize(("samples", "size"), [(1, 1), (20, 20), (64, 64), (1000, 64)])
def test_memorising_repeats_one_minibatch(samples: int, size: int) -> None:
    minibatches = list(minibatches_of(range(samples), ProbeKind.MEMORIZING, 0, 20))
    assert len(minibatches) == 20
    assert all(rows == minibatches[0] for rows in minibatches)
    assert len(minibatches[0]) == size
