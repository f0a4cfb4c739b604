"""Functions that import another version than the model, held against onnxruntime."""

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import parser

from analysis.convert import convert
from analysis.errors import InvalidModel
from analysis.model import check_model

FRONT = '<ir_version: 9, opset_import: ["": {}, "own": 1]> net (float[N,4] x) => (float[N,4] y) {{ y = own.f(x) }}'


def calling(body: str, model: int, function: int) -> bytes:
    """A model of one opset that calls a function of another one."""
    text = f'{FRONT.format(model)} <domain: "own", opset_import: ["": {function}, "own": 1]> f (a) => (b) {{ {body} }}'
    return parser.parse_model(text).SerializeToString()


@pytest.mark.parametrize(
    ("body", "model", "function"),
    [
        ("b = LeakyRelu<alpha: float = 0.3>(a)", 18, 13),
        ("k = Constant<value_ints = [1]>() s = ReduceSum(a, k) b = Sub(a, s)", 18, 15),
        ("k = Constant<value_ints = [0, 4]>() s = Relu(a) b = Reshape(s, k)", 17, 13),
        ("b = Softmax<axis: int = -1>(a)", 18, 13),
        ("b = Clip(a)", 13, 17),
    ],
)
def test_a_function_may_import_another_version_where_its_operators_mean_the_same(
    body: str, model: int, function: int
) -> None:
    source = calling(body, model, function)
    x = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    (theirs,) = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    (ours,) = convert(check_model(source))(torch.from_numpy(x))
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "model", "function"),
    [
        ("b = Softmax(a)", 13, 11),
        ("s = ReduceSum<axes = [1]>(a) b = Sub(a, s)", 13, 11),
        ("k = Constant<value_int = 0>() b = Gelu(a)", 18, 20),
    ],
)
def test_a_function_whose_operators_mean_something_else_is_refused_by_name(
    body: str, model: int, function: int
) -> None:
    with pytest.raises(InvalidModel) as refused:
        check_model(calling(body, model, function))
    assert refused.value.where == "own::f"
    assert f"opset {model}" in refused.value.hint
