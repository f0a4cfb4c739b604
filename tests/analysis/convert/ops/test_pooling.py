"""Cases of the pooling family."""

import numpy as np
import pytest
import torch

from analysis.convert.ops import pooling
from analysis.convert.ops.pooling import global_lp_pool, lp_pool, max_pool, max_unpool
from analysis.errors import LimitExceeded
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, ints

LINE, IMAGE, VOLUME = floats(2, 2, 7), floats(1, 2, 6, 7), floats(1, 1, 4, 3, 5)
BYTES = RANDOM.permutation(42).reshape(1, 1, 6, 7).astype(np.uint8)
LEVELS = (np.arange(42) * 17 % 101).reshape(1, 1, 6, 7)
SMALL = floats(1, 1, 3, 4)
WIDE = floats(1, 1, 6, 8)
EMPTY = np.empty(0, np.float32)
POOLED, PLACES = floats(1, 2, 2, 2), np.array([[[[5, 7], [13, 15]], [[16, 18], [25, 31]]]])
"""Maxima of [1, 2, 4, 4]."""
TRANSFORMS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def pools(op: str, **attributes: object) -> list[Case]:
    """What every pooling operator shares."""

    def case(name: str, x: np.ndarray, since: int = 1, **more: object) -> Case:
        return Case(op, [x], {**attributes, **more}, since=since, name=name)

    dilated = {"AveragePool": 19, "LpPool": 18, "MaxPool": 10}[op]
    ceiling = {"AveragePool": 10, "LpPool": 18, "MaxPool": 10}[op]
    two = {"AveragePool": 7, "LpPool": 2, "MaxPool": 1}[op]  # onnx's reference counts padding in AveragePool of opset 1
    return [
        case("", IMAGE, kernel_shape=[2, 3]),
        case("line", LINE, two, kernel_shape=[3], strides=[2]),
        case("volume", VOLUME, two, kernel_shape=[2, 1, 3], strides=[1, 2, 2]),
        case("even pads", IMAGE, two, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        case("uneven pads", IMAGE, two, kernel_shape=[3, 2], strides=[2, 1], pads=[2, 0, 1, 1]),
        case("valid", IMAGE, two, kernel_shape=[3, 3], strides=[2, 3], auto_pad="VALID"),
        case("same upper", IMAGE, two, kernel_shape=[2, 4], auto_pad="SAME_UPPER"),
        case("same lower", IMAGE, two, kernel_shape=[2, 4], auto_pad="SAME_LOWER"),
        case("same upper strides", IMAGE, two, kernel_shape=[3, 2], strides=[2, 3], auto_pad="SAME_UPPER"),
        case("same lower strides", IMAGE, two, kernel_shape=[3, 2], strides=[2, 3], auto_pad="SAME_LOWER"),
        case("dilations", IMAGE, dilated, kernel_shape=[2, 3], dilations=[2, 3], pads=[1, 0, 0, 0]),
        case("ceiling", IMAGE, ceiling, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        case("ceiling with pads", LINE, ceiling, kernel_shape=[3], strides=[3], pads=[1, 1], ceil_mode=1),
        case("ceiling drops a window", LINE, ceiling, kernel_shape=[1], strides=[3], pads=[0, 0], ceil_mode=1),
        case(
            "window in the padding",
            floats(1, 2, 5),
            ceiling,
            kernel_shape=[2],
            strides=[3],
            pads=[1, 1],
            ceil_mode=1,
        ),
    ]


def average(name: str, x: np.ndarray, since: int = 7, **more: object) -> Case:
    """Padding counts."""
    return Case("AveragePool", [x], {"count_include_pad": 1, **more}, since=since, name=f"counting {name}")


def peaks(name: str, x: np.ndarray, since: int = 8, **more: object) -> Case:
    """Values and where they were found."""
    differentiable = x.dtype == np.float32
    return Case("MaxPool", [x], more, since=since, outputs=2, name=f"indices {name}", differentiable=differentiable)


def resize(
    name: str, x: np.ndarray, sizes: list[int] | None = None, scales: list[float] | None = None, **more: object
) -> Case:
    """To sizes or by scales; opset 11 wants the other inputs too, empty."""
    since = more.pop("since", 11)
    until = more.pop("until", 1_000_000)
    roi = np.array(more.pop("roi", []), np.float32)
    factors = EMPTY if scales is None else np.array(scales, np.float32)
    inputs = [x, roi, factors] if sizes is None else [x, roi, factors, ints(*sizes)]
    return Case("Resize", inputs, more, since=since, until=until, constant=(1, 2, 3), name=name)


CASES = [
    *pools("MaxPool"),
    *pools("AveragePool"),
    *pools("LpPool"),
    Case("LpPool", [IMAGE], {"kernel_shape": [2, 3], "p": 3, "strides": [2, 2]}, since=2, name="cubes"),
    Case("LpPool", [IMAGE], {"kernel_shape": [2, 3], "p": 1}, since=2, name="absolutes"),
    average("pads", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    average("uneven pads", IMAGE, kernel_shape=[3, 2], pads=[2, 0, 1, 1]),
    average("ceiling", IMAGE, 10, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 1], ceil_mode=1),
    average("overhang", LINE, 10, kernel_shape=[4], strides=[3], pads=[2, 1], ceil_mode=1),
    average("same", IMAGE, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    average("dilations", IMAGE, 19, kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 1, 1, 1]),
    peaks("", floats(2, 2, 4, 5), kernel_shape=[2, 2], strides=[2, 2]),
    peaks("columns first", floats(2, 2, 4, 5), kernel_shape=[2, 3], storage_order=1),
    peaks("pads", IMAGE, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 2]),
    peaks("line", LINE, kernel_shape=[3], strides=[2], pads=[1, 1]),
    peaks("volume", floats(2, 2, 3, 4, 3), kernel_shape=[2, 2, 2], strides=[1, 2, 1]),
    peaks("volume columns first", floats(2, 2, 3, 4, 3), kernel_shape=[2, 2, 2], storage_order=1),
    peaks("ceiling", IMAGE, 10, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, dilations=[2, 1]),
    peaks("same", IMAGE, kernel_shape=[3, 2], strides=[2, 2], auto_pad="SAME_LOWER"),
    peaks("bytes", BYTES, 12, kernel_shape=[2, 2], pads=[1, 1, 0, 0]),
    Case(
        "MaxPool", [BYTES], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}, since=12, differentiable=False, name="bytes"
    ),
    *[
        Case(f"Global{kind}Pool", [x], name=name)
        for kind in ("Average", "Max")
        for name, x in (("", IMAGE), ("line", LINE), ("volume", VOLUME))
    ],
    Case("GlobalLpPool", [IMAGE], formula=lambda x: np.sqrt((x**2).sum((2, 3), keepdims=True))),
    Case("GlobalLpPool", [LINE], {"p": 3}, since=2, until=22, name="cubes"),  # later nobody has a kernel
    Case("GlobalLpPool", [IMAGE], {"p": 1}, since=2, until=22, name="absolutes"),
    Case("MaxUnpool", [POOLED, PLACES], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Case("MaxUnpool", [POOLED, PLACES], {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1]}, name="pads"),
    Case("MaxUnpool", [floats(1, 2, 3), np.array([[[0, 2, 3], [6, 5, 9]]])], {"kernel_shape": [3]}, name="line"),
    Case(
        "MaxUnpool", [POOLED, PLACES, ints(1, 2, 5, 4)], {"kernel_shape": [2, 2], "strides": [2, 2]}, constant=(2,),
        formula=lambda x, i, sizes: np.put(y := np.zeros(sizes, np.float32), i, x) or y, name="given shape",
    ),
    Case(
        "MaxUnpool", [POOLED, PLACES, ints(1, 2, 5, 4)], {"kernel_shape": [2, 2], "strides": [2, 2]}, since=11,
        until=22, name="shape as input",
    ),
    Case(
        "Upsample", [SMALL], {"height_scale": 2.0, "width_scale": 3.0}, until=7,
        formula=lambda x: x.repeat(2, 2).repeat(3, 3),
    ),
    Case(
        "Upsample", [np.array([[[[1, 3]]]], np.float32)], {"height_scale": 1.0, "width_scale": 2.0, "mode": "bilinear"},
        until=7, formula=lambda _: np.array([[[[1, 2, 3, 3]]]], np.float32), name="bilinear",
    ),
    Case("Upsample", [SMALL], {"scales": [1.0, 1.0, 2.0, 1.5]}, since=7, until=9),
    Case("Upsample", [SMALL], {"scales": [1.0, 1.0, 2.0, 3.0], "mode": "linear"}, since=7, until=9, name="linear"),
    Case("Upsample", [SMALL, np.array([1, 1, 2, 1.5], np.float32)], since=9, until=10, constant=(1,)),
    Case(
        "Upsample", [SMALL, np.array([1, 1, 2, 3], np.float32)], {"mode": "linear"}, since=9, until=10, constant=(1,),
        name="linear",
    ),
    Case("Resize", [SMALL, np.array([1, 1, 2, 1.5], np.float32)], since=10, until=11, constant=(1,)),
    Case(
        "Resize", [WIDE, np.array([1, 1, 0.5, 0.75], np.float32)], {"mode": "linear"}, since=10, until=11,
        constant=(1,), name="linear",
    ),
    *[
        resize(
            f"nearest {transform} {rounding}", SMALL, scales=[1, 1, 2.5, 0.6],
            coordinate_transformation_mode=transform, nearest_mode=rounding,
        )
        for transform in TRANSFORMS
        for rounding in NEAREST
    ],
    *[
        resize(
            f"nearest tf_half_pixel_for_nn {rounding}", SMALL, scales=[1, 1, 2, 0.6],
            coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode=rounding, until=13,
        )
        for rounding in NEAREST
    ],
    *[
        resize(
            f"{mode} {transform} {name}", x, sizes, scales, mode=mode, coordinate_transformation_mode=transform,
            since=since,
        )
        for mode in ("linear", "cubic")
        for transform, since in (*[(each, 11) for each in TRANSFORMS], ("half_pixel_symmetric", 19))
        for name, x, sizes, scales in (
            ("larger", SMALL, [1, 1, 7, 6], None),
            ("smaller", WIDE, [1, 1, 4, 1], None),
            ("scales", WIDE, None, [1, 1, 0.6, 1.7]),
        )
    ],
    resize(
        "nearest symmetric", WIDE, scales=[1, 1, 0.6, 1.7], coordinate_transformation_mode="half_pixel_symmetric",
        since=19,
    ),
    resize("default", SMALL, [1, 1, 6, 8]),
    resize("line", LINE, [2, 2, 10], mode="linear"),
    resize("volume", VOLUME, scales=[1, 1, 2, 2, 0.5], mode="linear"),
    resize("all axes", floats(2, 3, 3), [3, 2, 5], mode="linear"),
    resize("one pixel", SMALL, [1, 1, 1, 1], mode="linear", coordinate_transformation_mode="align_corners"),
    resize("float32 sizes", floats(1, 1, 1, 10), scales=[1, 1, 1, 0.7]),
    resize(
        "half a pixel in float32", LINE, [2, 2, 4], coordinate_transformation_mode="asymmetric",
        nearest_mode="round_prefer_ceil",
    ),
    resize("cubic coefficient", SMALL, [1, 1, 6, 8], mode="cubic", cubic_coeff_a=-0.5),
    resize("cubic exclude outside", SMALL, [1, 1, 6, 8], mode="cubic", exclude_outside=1),
    *[
        resize(f"{mode} antialias {name}", WIDE, sizes, mode=mode, antialias=1, since=18, **more)
        for mode in ("linear", "cubic")
        for name, sizes, more in (
            ("smaller", [1, 1, 3, 5], {}),
            ("larger", [1, 1, 7, 12], {}),
            ("exclude outside", [1, 1, 3, 5], {"exclude_outside": 1}),
            ("corners", [1, 1, 3, 5], {"coordinate_transformation_mode": "align_corners"}),
        )
    ],
    resize("axes", WIDE, [4, 4], mode="linear", axes=[2, 3], since=18),
    resize("axes from the end", WIDE, scales=[0.5, 2], mode="linear", axes=[-1, -2], since=18),
    *[
        resize(policy, WIDE, [4, 7], mode="linear", axes=[2, 3], keep_aspect_ratio_policy=policy, since=18)
        for policy in ("stretch", "not_larger", "not_smaller")
    ],
    *[
        resize(
            f"crop {mode} {name}", WIDE, sizes, scales, roi=roi, mode=mode,
            coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=0.3,
        )
        for mode in ("linear", "nearest")
        for name, sizes, scales, roi in (
            ("inside", [1, 1, 4, 5], None, [0, 0, 0.2, 0.3, 1, 1, 0.7, 0.9]),
            ("beyond", [1, 1, 4, 5], None, [0, 0, -0.3, 0.2, 1, 1, 1.4, 0.7]),
            ("one pixel", [1, 1, 1, 5], None, [0, 0, 0.2, 0.3, 1, 1, 0.7, 0.9]),
            # the page has the sizes shrink with the region as well; onnx's shape inference and both runtimes do not
            ("scales", None, [1, 1, 2, 1.5], [0, 0, 0.2, 0.25, 1, 1, 0.7, 0.9]),
        )
    ],
    resize(
        "crop cubic", WIDE, [1, 1, 4, 5], roi=[0, 0, 0.2, 0.3, 1, 1, 0.7, 0.9], mode="cubic",
        coordinate_transformation_mode="tf_crop_and_resize",
    ),
    resize(
        "crop axes", WIDE, [4, 5], roi=[0.2, 0.3, 0.7, 0.9], axes=[2, 3], mode="linear",
        coordinate_transformation_mode="tf_crop_and_resize", since=18,
    ),
    *[
        Case(
            "Resize", [LEVELS.astype(kind), EMPTY, EMPTY, ints(1, 1, 4, 3)], {"mode": "linear", **smooth}, since=18,
            constant=(1, 2, 3), differentiable=False, name=f"{kind} {smooth}",
        )
        for kind in ("uint8", "int32")
        for smooth in ({}, {"antialias": 1})
    ],
    Case("Resize", [SMALL, None, None, ints(1, 1, 5, 2)], {"mode": "linear"}, since=13, name="sizes as input"),
    Case(
        "Resize", [SMALL, None, np.array([1, 1, 2, 1.5], np.float32)], {"mode": "linear"}, since=13, constant=(2,),
        name="no roi",
    ),
]  # fmt: skip


def test_unpooling_to_the_old_shape_undoes_a_pooling() -> None:
    """Of a size that kernel and strides alone would not lead back to."""
    x = torch.from_numpy(floats(2, 3, 5, 7))
    largest, places = max_pool(x, kernel_shape=(2, 2), strides=(2, 2), outputs=2)
    back = max_unpool(largest, places, tuple(x.shape), kernel_shape=(2, 2), strides=(2, 2))
    assert torch.equal(back, torch.where(back != 0, x, 0))
    assert back.count_nonzero() == largest.numel()


@pytest.mark.parametrize("p", [1, 2, 3])
def test_a_norm_of_zeros_has_no_gradient_rather_than_none_that_is_a_number(p: int) -> None:
    x = torch.zeros(1, 1, 2, 2, requires_grad=True)
    (lp_pool(x, kernel_shape=(2, 2), p=p).sum() + global_lp_pool(x, p=p).sum()).backward()
    assert x.grad is not None
    assert x.grad.tolist() == torch.zeros(1, 1, 2, 2).tolist()


@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_a_region_that_is_no_constant_has_a_gradient(mode: str) -> None:
    """Against differences so wide that rounding of the positions, which are float32, does not show."""
    x = torch.from_numpy(floats(1, 1, 6, 7)).double()
    weights = torch.from_numpy(floats(1, 1, 3, 4)).double()
    region = torch.tensor([0.0, 0.0, 0.21, 0.13, 1.0, 1.0, 0.86, 0.92], dtype=torch.float64)

    def cropped(roi: torch.Tensor) -> torch.Tensor:
        transform = "tf_crop_and_resize"
        resized = pooling.resize(x, roi, None, (1, 1, 3, 4), mode=mode, coordinate_transformation_mode=transform)
        return (resized * weights).sum()

    (gradient,) = torch.autograd.grad(cropped(region.requires_grad_()), region)
    steps = 1e-3 * torch.eye(8, dtype=torch.float64)[[2, 3, 6, 7]]
    differences = [(cropped(region + step) - cropped(region - step)).item() / 2e-3 for step in steps]
    np.testing.assert_allclose(gradient[[2, 3, 6, 7]].numpy(), differences, rtol=1e-3, atol=1e-3)


def test_scales_that_are_no_constant_have_a_gradient() -> None:
    """x = n, so that every sample inside the line is its position (i + 0.5) / scale - 0.5."""
    scales = torch.tensor([1.6], requires_grad=True)
    y = pooling.resize(torch.arange(5.0), None, scales, mode="linear")
    y[1:7].sum().backward()
    assert scales.grad is not None
    assert scales.grad.item() == pytest.approx(-sum(i + 0.5 for i in range(1, 7)) / 1.6**2)


def test_a_window_that_would_be_walked_through_for_ever_is_refused() -> None:
    half = 1 << 29
    with pytest.raises(LimitExceeded, match="1073741824 elements"):
        max_pool(torch.ones(1, 1, 8, 8), kernel_shape=(2 * half, 2 * half), pads=(half,) * 4)
