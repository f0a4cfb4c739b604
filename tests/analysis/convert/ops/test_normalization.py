"""Cases of the normalization family."""

import numpy as np
import pytest
import torch
from onnx import parser

from analysis.convert import convert
from analysis.model import check_model
from tests.analysis.convert.ops.cases import Case, floats, scalar

X = floats(2, 4, 3, 2)
FOUR = [floats(4), floats(4), floats(4), floats(4, low=0.2)]
"""Scale, bias, mean and variance per channel."""
EACH = [floats(4, 3, 2), floats(4, 3, 2), floats(4, 3, 2), floats(4, 3, 2, low=0.2)]
ONE = [floats(1), floats(1), floats(1), floats(1, low=0.2)]
HALVES = X.astype(np.float16)
LONE = np.array([[[1.0, 0.0], [3.0, 0.0]]], np.float32)


def standardised(x: np.ndarray, *four: np.ndarray) -> np.ndarray:
    """The formula of the operator page; onnx's reference has no kernel for opset 1."""
    scale, bias, mean, variance = (vector[:, None, None] for vector in four)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + bias


def by_the_batch(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, *_: np.ndarray) -> np.ndarray:
    """Batch statistics where a node asks for one output, which opset 14 describes and onnxruntime refuses."""
    return standardised(x, scale, bias, x.mean((0, 2, 3)), x.var((0, 2, 3)))


def root_mean_square(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """onnxruntime has it in the standard's domain only; the scale tells the axes, its rank the epsilon of the case."""
    axes = tuple(range(-scale.ndim, 0))
    epsilon = 1e-5 if scale.ndim == 1 else 0.01
    return (x / np.sqrt((x * x).mean(axes, keepdims=True) + epsilon) * scale).astype(np.float32)


def all_kept(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mask of opset 12, in the type of x; the older pages are silent, and onnxruntime gives zeros."""
    return x, np.ones_like(x)


CASES = [
    Case(
        "BatchNormalization", [X, *FOUR], {"is_test": 1, "consumed_inputs": [0, 0, 0, 1, 1]}, until=6,
        formula=standardised,
    ),
    Case("BatchNormalization", [X, *FOUR], {"is_test": 1}, since=6, until=7),
    Case("BatchNormalization", [X, *FOUR], since=7),
    Case("BatchNormalization", [X, *FOUR], since=7, constant=(1, 2, 3, 4), name="own statistics"),
    Case("BatchNormalization", [floats(3, 4), *FOUR], {"epsilon": 0.01}, since=7, name="flat"),
    Case("BatchNormalization", [X, *EACH], {"spatial": 0}, since=7, until=9, name="per position"),
    Case("BatchNormalization", [X, *FOUR], {"training_mode": 1}, since=14, formula=by_the_batch, name="one output"),
    Case("BatchNormalization", [X, *FOUR], {"training_mode": 1, "momentum": 0.7}, since=14, outputs=3, name="running"),
    Case(
        "BatchNormalization", [floats(1, 4), *FOUR], {"training_mode": 1}, since=14, outputs=3, name="one sample",
        tolerance=1e-3,
    ),  # it cancels 316 x
    Case("BatchNormalization", [floats(3), *ONE], since=9, name="one axis"),
    Case("BatchNormalization", [floats(3), *ONE], {"training_mode": 1}, since=14, outputs=3, name="one axis running"),
    Case(
        "BatchNormalization", [HALVES, *FOUR], since=15, differentiable=False, tolerance=2e-3, refused=True,
        name="half precision",
    ),
    Case(
        "BatchNormalization", [HALVES, *(vector.astype(np.float16) for vector in FOUR[:2]), *FOUR[2:]], since=15,
        differentiable=False, tolerance=2e-3, refused=True, name="half precision scale",
    ),
    Case("InstanceNormalization", [X, floats(4), floats(4)]),
    Case("InstanceNormalization", [floats(2, 4, 5), floats(4), floats(4)], {"epsilon": 0.01}, name="line"),
    Case(
        "InstanceNormalization", [floats(2, 4, 1, 1), floats(4), floats(4)], name="one pixel", tolerance=1e-3,
    ),  # it cancels 316 x
    Case("LayerNormalization", [X, floats(2), floats(2)]),
    Case("LayerNormalization", [X, floats(2)], name="no bias"),
    Case("LayerNormalization", [X, floats(4, 3, 2), floats(4, 3, 2)], {"axis": 1, "epsilon": 0.01}, name="from axis 1"),
    Case("LayerNormalization", [X, floats(3, 2), floats(3, 2)], {"axis": -2}, name="last two axes"),
    Case("LayerNormalization", [X, floats(3, 2), floats(3, 2)], {"axis": 1}, name="broadcast scale"),
    Case("LayerNormalization", [X, floats(3, 2), floats(3, 2)], {"axis": 2}, outputs=3, name="all outputs"),
    Case("GroupNormalization", [X, floats(2), floats(2)], {"num_groups": 2}, since=18, until=21, name="by group"),
    Case("GroupNormalization", [X, floats(4), floats(4)], {"num_groups": 2}, since=21),
    Case(
        "GroupNormalization", [floats(2, 4, 5), floats(4), floats(4)], {"num_groups": 4, "epsilon": 0.01}, since=21,
        name="line",
    ),
    Case("RMSNormalization", [X, floats(2)]),
    Case("RMSNormalization", [X, floats(4, 3, 2)], {"axis": 1, "epsilon": 0.01}, name="from axis 1"),
    *[
        Case("SimplifiedLayerNormalization", *given, name=name, domain=domain, **how)
        for domain, how in (("", {}), ("com.microsoft", {"formula": root_mean_square}))
        for name, given in (
            ("", ([X, floats(2)],)), ("from axis 2", ([X, floats(3, 2)], {"axis": 2, "epsilon": 0.01})),
        )
    ],
    Case("SimplifiedLayerNormalization", [X, floats(2)], {"epsilon": 0.1}, outputs=2, name="both outputs"),
    Case("LRN", [floats(1, 6, 2, 2)], {"size": 3}),
    # as many samples as channels: onnx's reference mistakes one for the other
    Case(
        "LRN", [floats(4, 4, 2, 2)], {"size": 4, "alpha": 0.5, "beta": 0.6, "bias": 2.0}, refused=True, name="even size"
    ),
    Case("LpNormalization", [X]),
    Case("LpNormalization", [X], {"axis": 1, "p": 1}, name="sum of absolutes"),
    Case("LpNormalization", [LONE], {"axis": 1}, differentiable=False, name="zeros"),
    Case("MeanVarianceNormalization", [X], since=9),
    Case("MeanVarianceNormalization", [X], {"axes": [1, -1]}, since=9, name="other axes"),
    *[
        Case(
            "MeanVarianceNormalization", [X], {"across_channels": across, "normalize_variance": variance}, until=9,
            name=f"{across} {variance}", tolerance=1e-4,
        )
        for across in (0, 1)
        for variance in (0, 1)
    ],
    Case("Dropout", [X], {"is_test": 1}, until=7, formula=lambda x: x),
    Case("Dropout", [X], {"is_test": 1}, until=7, outputs=2, formula=all_kept, name="mask"),
    Case("Dropout", [X], {"ratio": 0.3}, since=7, until=12),
    Case("Dropout", [X], {"ratio": 0.3}, since=7, until=10, outputs=2, formula=all_kept, name="mask"),
    Case("Dropout", [X], {"ratio": 0.3}, since=10, until=12, outputs=2, refused=True, name="mask"),
    Case("Dropout", [X], since=12),
    Case("Dropout", [X, scalar(0.3), scalar(False, np.bool_)], since=12, outputs=2, constant=(1, 2), name="mask"),
    Case("Dropout", [X, scalar(0.0), scalar(True, np.bool_)], since=12, outputs=2, constant=(1, 2), name="ratio 0"),
    Case(
        "Dropout", [X, scalar(0.5), scalar(True, np.bool_)], {"seed": 1}, since=12, outputs=2, constant=(1, 2),
        formula=lambda x, *_: (x, np.ones(x.shape, bool)), name="training is off",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("four", "attributes", "axes"), [(FOUR, {}, (0, 2, 3)), (EACH, {"spatial": 0}, 0)])
def test_a_training_model_takes_the_statistics_of_the_batch(four: list, attributes: dict, axes: tuple) -> None:
    case = Case("BatchNormalization", [X, *four], attributes, constant=(1, 2, 3, 4))
    module = convert(check_model(case.model(7).SerializeToString())).train()
    batch = [X.mean(axes), X.var(axes)]
    (y,) = module(torch.from_numpy(X))
    scale, bias, mean, variance = (v[:, None, None] if v.ndim == 1 else v for v in (*four[:2], *batch))
    wanted = (X - mean) / np.sqrt(variance + 1e-5) * scale + bias
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("node", [
    "MeanVarianceNormalization(x)", "LpNormalization(x)", "LayerNormalization(x, s)", "InstanceNormalization(x, c, c)",
])  # fmt: skip
def test_a_constant_input_has_a_finite_gradient(node: str) -> None:
    """Its variance is 0, where the square root has no slope."""
    head = '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3,4,4] x, float[4] s, float[3] c) => (float y)'
    module = convert(check_model(parser.parse_model(f"{head} {{ y = {node} }}").SerializeToString()))
    x = torch.zeros(2, 3, 4, 4, requires_grad=True)
    (y,) = module(x, torch.ones(4), torch.ones(3))
    y.sum().backward()
    assert x.grad is not None
    assert bool(torch.isfinite(x.grad).all())


SLIM = [(3, 4, 5, 1), (3, 4, 1, 5), (1, 4, 1, 5), (1, 4, 3, 3), (4, 2, 3, 1), (1, 4, 5, 1, 1), (2, 2, 3), (2, 2, 3, 2)]


@pytest.mark.parametrize("shape", SLIM)
@pytest.mark.parametrize("turned", ["x", "y", "both"])
@pytest.mark.parametrize("node", [
    "BatchNormalization(a, s, b, m, v)", "BatchNormalization <training_mode = 1> (a, s, b, m, v)",
    "InstanceNormalization(a, s, b)", "GroupNormalization <num_groups = 2> (a, s, b)",
])  # fmt: skip
def test_no_layout_changes_a_gradient(node: str, turned: str, shape: tuple) -> None:
    """Where a size is 1 torch takes one of tensor and gradient for channels-last, the other for contiguous."""
    rank = len(shape)
    for order in ([0, 2, 1, *range(3, rank)], [0, *range(2, rank), 1], [*range(rank)][::-1]):
        there = order if turned != "y" else [*range(rank)]
        back = order if turned != "x" else [*range(rank)]
        text = f"""<ir_version: 10, opset_import: ["" : 21]>
            g (float[{",".join("?" * rank)}] x, float[c] s, float[c] b, float[c] m, float[c] v) => (float y) {{
            a = Transpose <perm = {there}> (x) n = {node} y = Transpose <perm = {back}> (n) }}"""
        module = convert(check_model(parser.parse_model(text).SerializeToString()), precision=torch.float64)
        sizes = np.array(shape)[np.argsort(there)]
        inputs = [torch.from_numpy(each).double() for each in (floats(*sizes), *(floats(shape[1]) for _ in range(3)))]
        variance = torch.from_numpy(floats(shape[1], low=0.2)).double().abs()
        free = [value.requires_grad_() for value in inputs[:3]]
        assert torch.autograd.gradcheck(lambda *three: module(*three, inputs[3], variance)[0], free)  # noqa: B023
