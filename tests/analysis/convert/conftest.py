"""Operators of our own, registered for a test."""

import pytest

from analysis.convert.registry import _TABLE, Operator, ReadCount
from tests.analysis.convert.conversion import Tensor


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many outputs own.Spread was asked for, run by run."""
    counts: list[int] = []

    def spread(x: Tensor, *, outputs: ReadCount = 1) -> tuple[Tensor, ...]:
        counts.append(outputs)
        return tuple(x + place for place in range(outputs))

    monkeypatch.setitem(_TABLE, ("own", "Spread"), [Operator("own", "Spread", 1, spread, pure=True)])
    return counts
