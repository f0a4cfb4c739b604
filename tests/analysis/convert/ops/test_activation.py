"""Cases of the activation family."""

import numpy as np
import onnx.parser
import pytest
import torch

from analysis.convert import convert
from analysis.model import check_model
from tests.analysis.convert.ops.cases import Case, floats, scalar

X = floats(3, 4, 5)

CASES = [
    Case("Relu", [X]),
    Case("LeakyRelu", [X]),
    Case("LeakyRelu", [X], {"alpha": 0.3}, name="steep"),
    Case("PRelu", [X, floats(4)], until=7, name="per channel"),
    Case("PRelu", [X, floats(5)], since=7),
    Case("PRelu", [X, floats(4, 1)], since=7, name="per channel"),
    Case("Elu", [X], {"alpha": 0.7}),
    Case("Selu", [X], tolerance=1e-4),  # the reference takes the longer default constants of opset 6 for opset 1 too
    Case("Selu", [X], {"alpha": 1.5, "gamma": 1.2}, name="own constants"),
    Case("Celu", [X], {"alpha": 1.3}),
    Case("Gelu", [X]),
    Case("Gelu", [X], {"approximate": "tanh"}, name="tanh"),
    Case("Sigmoid", [X]),
    Case("HardSigmoid", [X], {"alpha": 0.3, "beta": 0.45}),
    Case("HardSwish", [X * 2]),
    Case("Swish", [X], {"alpha": 0.8}),
    Case("Swish", [X], name="plain"),
    Case("Tanh", [X]),
    Case("Softplus", [X * 30]),
    Case("Softsign", [X]),
    Case("Mish", [X]),
    Case("ThresholdedRelu", [X], {"alpha": 0.6}),
    Case("ScaledTanh", [X], {"alpha": 1.3, "beta": 0.7}),
    Case("ParametricSoftplus", [X], {"alpha": 1.3, "beta": 0.7}),
    Case("Shrink", [X], {"lambd": 0.9, "bias": 0.2}),
    Case("Erf", [X]),
    Case("Clip", [X], {"min": -1.0, "max": 0.8}, until=11, formula=lambda x: np.clip(x, -1.0, 0.8)),
    Case("Clip", [X], until=11, name="no bounds", formula=lambda x: x),
    Case("Clip", [X, scalar(-1.0), scalar(0.8)], since=11, constant=(1, 2)),
    Case("Clip", [X, None, scalar(0.8)], since=11, constant=(2,), name="upper only"),
    Case("Clip", [X, scalar(-1.0), scalar(0.8)], since=11, name="learnt bounds"),
    Case("Softmax", [X]),
    Case("Softmax", [X], {"axis": 0}, name="first axis"),
    Case("Softmax", [X], {"axis": 2}, name="last axis"),
    Case("LogSoftmax", [X]),
    Case("LogSoftmax", [X], {"axis": 0}, name="first axis"),
    Case("Hardmax", [X], differentiable=False),
    Case("Hardmax", [X], {"axis": 2}, differentiable=False, name="last axis"),
]


@pytest.mark.parametrize("opset", [11, 13, 23])
def test_a_row_that_is_masked_whole_poisons_no_gradient(opset: int) -> None:
    model = onnx.parser.parse_model(f"""<ir_version: 7, opset_import: ["": {opset}]>
        net (float[3,4] x, float[3,4] mask) => (float[3,4] y) {{
            scores = Add (x, mask)
            shares = Softmax <axis = 1> (scores)
            lost = IsNaN (shares)
            zero = Constant <value_float = 0.0> ()
            y = Where (lost, zero, shares)
        }}""")
    mask = torch.zeros(3, 4)
    mask[0, 1:] = mask[2] = -torch.inf
    x = torch.from_numpy(floats(3, 4)).requires_grad_()
    (y,) = convert(check_model(model.SerializeToString()))(x, mask)
    torch.testing.assert_close(y[2], torch.zeros(4))
    weights = torch.arange(12.0).reshape(3, 4)
    (gradient,) = torch.autograd.grad((y * weights).sum(), x)
    share = torch.softmax(x[1].detach(), 0)
    expected = torch.zeros(3, 4)
    expected[1] = share * (weights[1] - (share * weights[1]).sum())
    torch.testing.assert_close(gradient, expected)
