"""Cases of the images family of com.microsoft: by the formulas of their pages, as no kernel for the CPU has most."""

import re

import numpy as np
import pytest
import torch
from torch.nn.functional import group_norm

from analysis.convert import convert
from analysis.errors import AnalysisError
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats

MS: dict = {"domain": "com.microsoft"}
IMAGE, KERNEL = floats(2, 5, 4, 4), floats(6, 3, 2, 2)
"""[N, H, W, C] and [M, kH, kW, C / 2]."""
WINDOW = {"pads": [1, 0, 1, 1], "strides": [2, 1], "group": 2}
CHANNELS = [floats(4), floats(4)]


def convolved(x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, z: np.ndarray | None = None) -> np.ndarray:
    """Window by window, over pixels padded by hand; w [M, kH, kW, C / group]."""
    padded = np.pad(x, ((0, 0), (1, 1), (0, 1), (0, 0)))
    height, width = (padded.shape[1] - w.shape[1]) // 2 + 1, padded.shape[2] - w.shape[2] + 1
    y = np.zeros((len(x), height, width, len(w)), np.float32)
    for n, i, j, m in np.ndindex(y.shape):
        channels = slice(0, 2) if m < 3 else slice(2, 4)
        patch = padded[n, 2 * i : 2 * i + w.shape[1], j : j + w.shape[2], channels]
        y[n, i, j, m] = (patch * w[m]).sum()
    y = y if b is None else y + b
    return y if z is None else y + z


def fused(x: np.ndarray, w: np.ndarray, b: np.ndarray, z: np.ndarray) -> np.ndarray:
    return np.tanh(convolved(x, w.transpose(0, 2, 3, 1), b, z))


def normalised(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, swish: int = 0) -> np.ndarray:
    """Two groups of two channels, channels last."""
    parts = np.split(x, 2, -1)
    parts = [
        (p - p.mean((1, 2, 3), keepdims=True)) / np.sqrt(p.var((1, 2, 3), keepdims=True) + 0.01) for p in parts
    ]  # fmt: skip
    y = np.concatenate(parts, -1) * gamma + beta
    return (y / (1 + np.exp(-y)) if swish else y).astype(np.float32)


def channels_first(x: np.ndarray, *vectors: np.ndarray) -> np.ndarray:
    return normalised(x.transpose(0, 2, 3, 1), *vectors).transpose(0, 3, 1, 2)


def skipped(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, skip: np.ndarray, bias: np.ndarray | float = 0
) -> tuple:
    total = x + (skip[:, None, None] if skip.ndim == 2 else skip) + bias
    return normalised(total, gamma, beta, 1), total.astype(np.float32)


GROUPS = {"groups": 2, "epsilon": 0.01}
CASES = [
    Case("NhwcConv", [IMAGE, KERNEL], WINDOW, formula=convolved, tolerance=1e-4, **MS),
    Case("NhwcConv", [IMAGE, KERNEL, floats(6)], WINDOW, formula=convolved, name="bias", tolerance=1e-4, **MS),
    Case(
        "NhwcFusedConv", [IMAGE, KERNEL.transpose(0, 3, 1, 2).copy(), floats(6), floats(2, 3, 4, 6)],
        {**WINDOW, "activation": "Tanh"}, formula=fused, tolerance=1e-4, **MS,
    ),
    Case(
        "NhwcMaxPool", [RANDOM.integers(-128, 128, (2, 5, 6, 3)).astype(np.int8)],
        {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]}, differentiable=False, **MS,
    ),
    Case("GroupNorm", [IMAGE, *CHANNELS], {**GROUPS, "activation": 0}, formula=normalised, tolerance=1e-4, **MS),
    Case(
        "GroupNorm", [IMAGE, *CHANNELS], {**GROUPS, "activation": 1}, name="swish", tolerance=1e-4,
        formula=lambda *inputs: normalised(*inputs, 1), **MS,
    ),
    Case(
        "GroupNorm", [floats(2, 4, 3, 5), *CHANNELS], {**GROUPS, "activation": 0, "channels_last": 0},
        formula=channels_first, name="channels first", tolerance=1e-4, **MS,
    ),
    *[
        Case(
            "SkipGroupNorm", [IMAGE, *CHANNELS, *more], {**GROUPS, "activation": 1}, outputs=2, formula=skipped,
            name=name, tolerance=1e-4, **MS,
        )
        for name, more in (
            ("", [floats(2, 5, 4, 4)]), ("bias", [floats(2, 1, 1, 4), floats(4)]), ("skip of two axes", [floats(2, 4)]),
        )
    ],
]  # fmt: skip


def test_a_sum_with_the_channels_first_is_normalised_too() -> None:
    x, gamma, beta, bias = floats(2, 4, 3, 5), *CHANNELS, floats(4)
    skip = floats(2, 4, 1, 1)
    case = Case(
        "SkipGroupNorm", [x, gamma, beta, skip, bias], {**GROUPS, "activation": 0, "channels_last": 0}, outputs=2, **MS
    )
    y, total = convert(check_model(case.model(1).SerializeToString()))(*map(torch.from_numpy, case.feed().values()))
    np.testing.assert_allclose(total.numpy(), x + skip + bias[:, None, None], rtol=1e-6)
    wanted = group_norm(total, 2, torch.from_numpy(gamma), torch.from_numpy(beta), 0.01)
    torch.testing.assert_close(y, wanted)


@pytest.mark.parametrize(
    ("domain", "op", "reason"),
    [
        ("com.microsoft.nchwc", "Conv", "laid out for one processor"),
        ("com.ms.internal.nhwc", "Conv", "laid out for one processor"),
        ("com.microsoft", "NhwcPool", "(opset 1) has no conversion yet"),
    ],
)
def test_layouts_of_one_machine_are_refused_by_name(domain: str, op: str, reason: str) -> None:
    case = Case(op, [IMAGE, KERNEL], domain=domain)
    with pytest.raises(AnalysisError, match=re.escape(f"{domain}::{op} ") + ".*" + re.escape(reason)):
        convert(check_model(case.model(1).SerializeToString()))


def test_weights_and_scales_train() -> None:
    conv = Case("NhwcConv", [IMAGE, KERNEL, floats(6)], WINDOW, constant=(1, 2), **MS)
    norm = Case("SkipGroupNorm", [IMAGE, *CHANNELS, floats(2, 5, 4, 4), floats(4)], {**GROUPS, "activation": 1},
                constant=(1, 2, 4), **MS)  # fmt: skip
    for case, trained in ((conv, ["x1", "x2"]), (norm, ["x1", "x2", "x4"])):
        module = convert(check_model(case.model(1).SerializeToString()))
        module(*map(torch.from_numpy, case.feed().values()))[0].square().sum().backward()
        assert list(module.initializers) == trained
        assert all(weight.grad is not None and weight.grad.any() for weight in module.initializers.values())


def test_an_unknown_activation_is_refused() -> None:
    case = Case("GroupNorm", [IMAGE, *CHANNELS], {**GROUPS, "activation": 2}, **MS)
    with pytest.raises(AnalysisError, match="activation 2"):
        convert(check_model(case.model(1).SerializeToString()))(*map(torch.from_numpy, case.feed().values()))
