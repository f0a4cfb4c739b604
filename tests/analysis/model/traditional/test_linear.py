"""Linear models: scores and labels as onnxruntime has them, coefficients that train."""

import numpy as np
import pytest
from onnx import TensorProto

from analysis.convert import convert
from analysis.errors import InvalidModel, UnsupportedOp
from analysis.model import check_model
from tests.analysis.model.traditional.graphs import (
    LABEL_AND_SCORES,
    OPSETS,
    assert_same,
    floats,
    gradients,
    single,
    theirs,
)

POSTS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")


@pytest.mark.parametrize("opsets", OPSETS)
@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_classifier_is_onnxruntimes(classes: int, post: str, opsets: tuple[int, int, int]) -> None:
    x = floats(5, 4)
    x[2] = 0  # scores that are exactly zero, of which SOFTMAX_ZERO makes something else
    intercepts = floats(classes)
    intercepts[0] = 0
    proto = single(
        "LinearClassifier", x, LABEL_AND_SCORES, coefficients=floats(classes, 4).ravel().tolist(),
        intercepts=intercepts.tolist(), classlabels_ints=[5, 7, 9][: max(classes, 2)], post_transform=post,
        opsets=opsets,
    )  # fmt: skip
    model = assert_same(proto, x=x)
    module = convert(model)
    assert set(module.initializers) == {"linearclassifier.coefficients", "linearclassifier.intercepts"}
    assert [layer.name for layer in module.layers] == ["linearclassifier/Gemm"]


@pytest.mark.parametrize("post", POSTS)
@pytest.mark.parametrize("targets", [1, 2])
def test_a_regressor_is_onnxruntimes(targets: int, post: str) -> None:
    coefficients = floats(targets * 4).tolist()
    options = {"coefficients": coefficients, "targets": targets, "post_transform": post}
    assert_same(single("LinearRegressor", floats(5, 4), intercepts=floats(targets).tolist(), **options), x=floats(3, 4))
    assert_same(single("LinearRegressor", floats(5, 4), **options), x=floats(3, 4))


@pytest.mark.parametrize("kind", [np.float64, np.int64, np.int32])
def test_features_of_other_types_are_cast(kind: type) -> None:
    x = np.array([[1, -2], [3, 4]], kind)
    options = {"coefficients": [0.5, -1.5], "intercepts": [0.25], "classlabels_ints": [0, 1]}
    assert_same(single("LinearClassifier", x, LABEL_AND_SCORES, **options), x=x)


def test_one_sample_without_a_batch_axis_is_a_batch_of_one() -> None:
    assert_same(single("LinearRegressor", floats(3), coefficients=[0.5, -1.5, 1.0]), x=floats(3))


def test_the_gradients_are_those_of_a_linear_map() -> None:
    x, coefficients, intercepts = floats(6, 4), floats(2, 4), floats(2)
    proto = single(
        "LinearRegressor", x, coefficients=coefficients.ravel().tolist(), intercepts=intercepts.tolist(), targets=2
    )
    found = gradients(convert(check_model(proto.SerializeToString())), 0, x)
    residual = 2 * (x.astype(np.float64) @ coefficients.T + intercepts)
    np.testing.assert_allclose(found["linearregressor.coefficients"], residual.T @ x, rtol=1e-5)
    np.testing.assert_allclose(found["linearregressor.intercepts"], residual.sum(0), rtol=1e-5)


def test_the_gradients_of_probabilities_are_differences_of_onnxruntimes() -> None:
    x, coefficients = floats(6, 3), floats(2, 3)

    def proto(weights: np.ndarray) -> object:
        return single(
            "LinearClassifier", x, LABEL_AND_SCORES, coefficients=weights.ravel().tolist(), intercepts=[0.1, -0.2],
            classlabels_ints=[0, 1], post_transform="SOFTMAX",
        )  # fmt: skip

    found = gradients(convert(check_model(proto(coefficients).SerializeToString())), 1, x)
    for place in np.ndindex(2, 3):
        step = np.zeros((2, 3), np.float32)
        step[place] = 1e-2
        up, down = (
            np.square(theirs(proto(coefficients + way * step), {"x": x})[1], dtype=np.float64).sum() for way in (1, -1)
        )
        assert found["linearclassifier.coefficients"][place] == pytest.approx((up - down) / 2e-2, abs=2e-3)


def test_coefficients_that_do_not_fit_are_named() -> None:
    proto = single("LinearRegressor", floats(2, 3), coefficients=[1.0, 2.0, 3.0], targets=2)
    with pytest.raises(InvalidModel, match="linearregressor"):
        check_model(proto.SerializeToString())


@pytest.mark.parametrize(("op", "elements"), [("LinearRegressor", (1,)), ("LinearClassifier", LABEL_AND_SCORES)])
def test_the_probit_function_is_refused(op: str, elements: tuple[int, ...]) -> None:
    labels = {"classlabels_ints": [0, 1]} if op == "LinearClassifier" else {"targets": 2}
    proto = single(
        op, floats(2, 2), elements, coefficients=[1.0, 2.0, 3.0, 4.0], intercepts=[0.1, 0.2], post_transform="PROBIT",
        **labels,
    )  # fmt: skip
    with pytest.raises(UnsupportedOp, match=op):
        convert(check_model(proto.SerializeToString()))


def test_labels_that_count_the_classes_are_the_places_themselves() -> None:
    proto = single(
        "LinearClassifier", floats(2, 2), LABEL_AND_SCORES, coefficients=[1.0, 2.0, 3.0, 4.0], intercepts=[0.1, 0.2],
        classlabels_ints=[0, 1],
    )  # fmt: skip
    model = assert_same(proto, x=floats(4, 2))
    assert model.producers["y0"].op_type == "ArgMax"
    assert model.proto.graph.output[0].type.tensor_type.elem_type == TensorProto.INT64
