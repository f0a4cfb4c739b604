"""Watchers see floats, and the values go on as they were."""

import numpy as np
import torch
from onnx import numpy_helper, parser

from analysis.measure.units import Units
from analysis.model import check_model

TEXT = """<ir_version: 8, opset_import: ["": 17]> net (float[N,4] x) => (float[] y) {
    q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }"""
SCALE, ZERO = 0.05, 7


def units() -> Units:
    proto = parser.parse_model(TEXT)
    numbers = {"s": np.array(SCALE, np.float32), "z": np.array(ZERO, np.uint8)}
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in numbers.items())
    return Units(check_model(proto.SerializeToString()))


def test_a_quantised_value_and_its_gradient_come_in_the_unit_of_the_floats() -> None:
    values, gradients = [], []

    def watch(value: torch.Tensor) -> None:
        values.append(value.detach())
        value.register_hook(gradients.append)

    numbers = torch.tensor([7.0, 27.0, 107.0], requires_grad=True)
    shown = units().shown("q", watch)(numbers)
    assert torch.equal(shown, numbers)
    ((shown - ZERO) * SCALE).square().sum().backward()
    floats = torch.tensor([0.0, 1.0, 5.0])
    torch.testing.assert_close(values[0], floats)
    torch.testing.assert_close(gradients[0], 2 * floats)
    torch.testing.assert_close(numbers.grad, 2 * floats * SCALE)


def test_what_is_not_quantised_is_watched_as_it_is() -> None:
    def watch(_: torch.Tensor) -> None:
        """Nothing."""

    assert units().shown("x", watch) is watch


def test_without_a_gradient_nothing_takes_the_place_of_the_value() -> None:
    seen: list[torch.Tensor] = []
    assert units().shown("q", seen.append)(torch.tensor([27], dtype=torch.uint8)) is None
    torch.testing.assert_close(seen[0], torch.tensor([1.0]))
