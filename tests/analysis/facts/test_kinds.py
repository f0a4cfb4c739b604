import dataclasses
import inspect

import pytest

from analysis import facts
from analysis.facts import Confidence, Flow
from analysis.facts.kinds import fact


@fact
class Point:
    """A fact of this test."""

    x: float
    y: float = 0.0


def test_facts_are_frozen_and_named() -> None:
    kinds = [each for _, each in inspect.getmembers(facts, inspect.isclass) if dataclasses.is_dataclass(each)]
    assert len(kinds) > 20
    for kind in kinds:
        assert kind.__doc__
        assert "__slots__" in vars(kind)
        assert all(field.kw_only for field in dataclasses.fields(kind))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Flow().decades_rms = 0.0  # type: ignore[misc]


def test_a_fact_is_built_by_name_and_equal_to_one_with_the_same_numbers() -> None:
    assert Point(x=1.0) == Point(x=1.0, y=0.0) != Point(x=1.0, y=2.0)
    with pytest.raises(TypeError):
        Point(1.0)  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point(x=1.0).x = 2.0  # type: ignore[misc]


def test_a_cap_on_confidence_reads_its_words_from_the_least_sure_on() -> None:
    assert list(Confidence) == ["low", "medium", "high"]
