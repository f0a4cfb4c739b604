"""Preprocessing: as onnxruntime has it, and no number of it trains."""

import math

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from analysis.convert import convert
from analysis.model import check_model
from tests.analysis.model.traditional.graphs import OPSETS, assert_same, floats, graph, node, single

X = np.array([[1.0, -3.0], [0.0, 0.0], [-2.0, -1.0]], np.float32)


def before_a_layer(op: str, **attributes: object) -> ModelProto:
    product = helper.make_node("MatMul", ["h", "w"], ["y"])
    nodes = [node(op, ["x"], ["h"], **attributes), product]
    return graph(nodes, {"x": X}, {"y": TensorProto.FLOAT}, {"w": floats(2, 3)})


@pytest.mark.parametrize("opsets", OPSETS)
@pytest.mark.parametrize(("offset", "scale"), [([1.0, 2.0], [0.5, 0.1]), ([1.0], [0.5])])
def test_a_scaler_is_onnxruntimes(offset: list[float], scale: list[float], opsets: tuple[int, int, int]) -> None:
    assert_same(single("Scaler", X, offset=offset, scale=scale, opsets=opsets), x=X)


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.int32])
def test_a_scaler_gives_floats_whatever_it_reads(kind: type) -> None:
    assert_same(single("Scaler", X.astype(kind), offset=[1.0, 0.5], scale=[0.5, 2.0]), x=X.astype(kind))


@pytest.mark.parametrize("opsets", OPSETS)
@pytest.mark.parametrize("norm", ["MAX", "L1", "L2"])
def test_a_normalizer_is_onnxruntimes_where_a_row_is_zero_too(norm: str, opsets: tuple[int, int, int]) -> None:
    if opsets[0] > 9:  # a negative axis is of opset 11
        assert_same(single("Normalizer", X, norm=norm, opsets=opsets), x=X)
        assert_same(single("Normalizer", X[0], norm=norm, opsets=opsets), x=X[0])


@pytest.mark.parametrize(
    ("fill", "mark"), [([7.0, 8.0], math.nan), ([7.0], math.nan), ([7.0, 8.0], 0.0), ([7.0], -3.0)]
)
def test_an_imputer_is_onnxruntimes(fill: list[float], mark: float) -> None:
    x = np.array([[1.0, np.nan], [0.0, -3.0]], np.float32)
    proto = single("Imputer", x, imputed_value_floats=fill, replaced_value_float=mark)
    assert_same(proto, x=x)


def test_an_imputer_of_integers_is_onnxruntimes() -> None:
    x = np.array([[1, -1], [0, 0]], np.int64)
    assert_same(single("Imputer", x, (TensorProto.INT64,), imputed_value_int64s=[7], replaced_value_int64=-1), x=x)


def test_a_binarizer_is_onnxruntimes() -> None:
    assert_same(single("Binarizer", X, threshold=0.5), x=np.array([[1.0, 0.5], [0.0, -1.0]], np.float32))


@pytest.mark.parametrize(
    ("op", "attributes", "fixed"),
    [
        ("Scaler", {"offset": [1.0, 2.0], "scale": [0.5, 0.1]}, {"scaler.offset", "scaler.scale"}),
        ("Normalizer", {"norm": "L2"}, {"normalizer.one"}),
        ("Imputer", {"imputed_value_floats": [1.0], "replaced_value_float": math.nan}, {"imputer.imputed_values"}),
    ],
)
def test_the_numbers_of_preprocessing_are_frozen_and_the_layer_behind_trains(
    op: str, attributes: dict[str, object], fixed: set[str]
) -> None:
    module = convert(check_model(before_a_layer(op, **attributes).SerializeToString()))
    assert set(module.initializers) == {"w"}
    assert fixed <= module.frozen.keys()
    assert all(op in module.frozen[name] for name in fixed)
