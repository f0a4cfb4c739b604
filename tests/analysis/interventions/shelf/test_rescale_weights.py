import math

import numpy as np
import pytest

from tests.analysis.interventions.builders import drawn, refused
from tests.gallery import mlp, vectors, xavier


def test_weights_in_front_of_a_swapped_activation_get_its_gain() -> None:
    model = mlp(4, "Tanh", xavier())
    before, after = drawn("relu", model, vectors()), drawn("relu+rescaled", model, vectors())
    for layer in range(3):
        ratio = np.linalg.norm(after[f"w{layer}"]) / np.linalg.norm(before[f"w{layer}"])
        assert ratio == pytest.approx(math.sqrt(2) / (5 / 3), rel=1e-5)
    np.testing.assert_array_equal(after["w3"], before["w3"])  # the head


def test_alone_it_does_not_apply() -> None:
    assert "no activation was swapped" in refused("rescaled", mlp(4, "Tanh", xavier()), vectors())
