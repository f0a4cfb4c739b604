"""Support vector machines: every kernel as onnxruntime has it, coefficients that train and samples that do not."""

import numpy as np
import pytest

from analysis.convert import convert
from analysis.errors import UnsupportedOp
from analysis.model import check_model
from tests.analysis.model.traditional.graphs import LABEL_AND_SCORES, assert_same, floats, gradients, single

KERNELS = ("LINEAR", "POLY", "RBF", "SIGMOID")
SAMPLES = floats(6, 3).ravel().tolist()


def regressor(kernel: str, **rest: object) -> dict[str, object]:
    return {
        "coefficients": floats(6).tolist(), "support_vectors": SAMPLES, "n_supports": 6, "rho": [0.3],
        "kernel_type": kernel, "kernel_params": [0.5, 0.2, 2.0], **rest,
    }  # fmt: skip


def classifier(sizes: list[int], kernel: str = "RBF", **rest: object) -> dict[str, object]:
    classes = len(sizes)
    return {
        "coefficients": floats(6 * (classes - 1)).tolist(), "support_vectors": SAMPLES, "vectors_per_class": sizes,
        "rho": floats(classes * (classes - 1) // 2).tolist(), "kernel_type": kernel, "kernel_params": [0.5, 0.2, 3.0],
        "classlabels_ints": [5, 7, 9, 11][:classes], **rest,
    }  # fmt: skip


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_regressor_is_onnxruntimes(kernel: str) -> None:
    x = floats(7, 3)
    module = convert(assert_same(single("SVMRegressor", x, **regressor(kernel)), x=x))
    assert set(module.initializers) == {"svmregressor.coefficients", "svmregressor.rho"}
    assert "SVMRegressor" in module.frozen["svmregressor.support_vectors"]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", [[2, 4], [1, 3, 2], [2, 1, 1, 2]])
def test_a_classifier_is_onnxruntimes(sizes: list[int], kernel: str) -> None:
    x = floats(9, 3)
    module = convert(assert_same(single("SVMClassifier", x, LABEL_AND_SCORES, **classifier(sizes, kernel)), x=x))
    assert set(module.initializers) == {"svmclassifier.coefficients", "svmclassifier.rho"}


@pytest.mark.parametrize("post", ["LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("sizes", [[2, 4], [1, 3, 2]])
def test_scores_that_are_transformed_are_onnxruntimes(sizes: list[int], post: str) -> None:
    x = floats(5, 3)
    assert_same(single("SVMClassifier", x, LABEL_AND_SCORES, **classifier(sizes, post_transform=post)), x=x)


def test_the_gradient_of_a_coefficient_is_its_kernel() -> None:
    x = floats(4, 3)
    attributes = regressor("RBF")
    found = gradients(convert(check_model(single("SVMRegressor", x, **attributes).SerializeToString())), 0, x)
    samples = np.array(SAMPLES).reshape(6, 3)
    kernel = np.exp(-0.5 * np.square(x[:, None] - samples).sum(-1))
    residual = 2 * (kernel @ np.array(attributes["coefficients"]) + 0.3)
    np.testing.assert_allclose(found["svmregressor.coefficients"][0], residual @ kernel, rtol=1e-4)
    np.testing.assert_allclose(found["svmregressor.rho"], [residual.sum()], rtol=1e-4)


def test_probabilities_that_are_found_by_iteration_are_refused_with_the_way_out() -> None:
    proto = single("SVMClassifier", floats(2, 3), LABEL_AND_SCORES, **classifier([2, 4], prob_a=[-0.7], prob_b=[0.1]))
    with pytest.raises(UnsupportedOp, match="probability=False"):
        convert(check_model(proto.SerializeToString()))


def test_a_regressor_of_one_class_gives_a_sign_and_is_refused() -> None:
    with pytest.raises(UnsupportedOp, match="SVMRegressor"):
        convert(check_model(single("SVMRegressor", floats(2, 3), **regressor("RBF", one_class=1)).SerializeToString()))
