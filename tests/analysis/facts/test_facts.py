import dataclasses
import inspect

import pytest

from analysis import facts
from analysis.facts import Flow, is_matrix


@pytest.mark.parametrize(
    ("role", "matrix"),
    [
        ("weight", True),
        ("weight.2", True),
        ("recurrent_weight", True),
        ("embedding", True),
        ("bias", False),
        ("bias.2", False),
        ("scale", False),
        ("initial_state", False),
        ("offset", False),
    ],
)
def test_weights_and_kernels_are_matrices_however_they_are_numbered(role: str, matrix: bool) -> None:
    assert is_matrix(role) is matrix


def test_facts_are_frozen_and_named() -> None:
    kinds = [each for _, each in inspect.getmembers(facts, inspect.isclass) if dataclasses.is_dataclass(each)]
    assert len(kinds) > 20
    for kind in kinds:
        assert kind.__doc__
        assert "__slots__" in vars(kind)
        assert all(field.kw_only for field in dataclasses.fields(kind))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Flow().decades_rms = 0.0  # type: ignore[misc]
