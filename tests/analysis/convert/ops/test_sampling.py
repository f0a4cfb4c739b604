"""Cases of the sampling family."""

import math

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.convert.ops.sampling import deform_conv, grid_sample, roi_align
from analysis.errors import LimitExceeded
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, ints

LINE, IMAGE, VOLUME = floats(2, 2, 5), floats(2, 2, 4, 5), floats(1, 2, 3, 4, 3)
FEATURES = floats(2, 2, 6, 7)
REGIONS = np.array(
    [[.31, .43, 5.27, 4.1], [1.03, 1.2, 2.53, 3.7], [-2.3, -1.7, 3.1, 9.43], [4.03, 3.3, 2.1, 1.03],
     [6.9, 5.9, 9.27, 9.3], [20, 20, 30, 30]],
    np.float32,
)  # fmt: skip
IMAGES = ints(0, 1, 1, 0, 1, 0)
"""Regions inside, small, reaching out, turned around, at the corner, and far away."""
POOLED = np.array(
    [[0, 0.2, 0, 5.3, 4], [1, 1.4, 1.6, 2.7, 3.4], [1, -2, -1.1, 3, 9], [0, 4, 3.1, 2, 1], [1, 20, 20, 30, 30]],
    np.float32,
)
OPSET_16 = {"linear": "bilinear", "nearest": "nearest", "cubic": "bicubic"}


def points(*shape: int) -> np.ndarray:
    """A grid that reaches beyond the image."""
    return floats(*shape, low=-1.6, high=1.6)


def sampled(
    name: str, x: np.ndarray, grid: np.ndarray, mode: str, padding: str, corners: int, **more: object
) -> list[Case]:
    """Before opset 20 the modes have other names."""
    attributes = {"padding_mode": padding, "align_corners": corners}
    label = f"{name} {mode} {padding} {corners}"
    older = Case("GridSample", [x, grid], {"mode": OPSET_16[mode], **attributes}, until=20, name=label)
    newer = Case("GridSample", [x, grid], {"mode": mode, **attributes}, since=20, name=label, **more)
    return [older, newer] if name == "image" else [newer]


def deformed(name: str, x: tuple, w: tuple, leave_out: tuple = (), **attributes: object) -> Case:
    """Random offsets of up to two pixels, with bias and mask."""
    rank = len(w) - 2
    pads = attributes.get("pads", [0] * 2 * rank)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    out = [
        (x[2 + a] + pads[a] + pads[a + rank] - (w[2 + a] - 1) * dilations[a] - 1) // strides[a] + 1 for a in range(rank)
    ]
    taps = attributes.get("offset_group", 1) * math.prod(w[2:])
    inputs = [floats(*x), floats(*w), floats(x[0], taps * rank, *out), floats(w[0]), floats(x[0], taps, *out)]
    kept = [None if place in leave_out else array for place, array in enumerate(inputs)]
    while kept[-1] is None:
        kept.pop()
    return Case("DeformConv", kept, attributes, name=name, tolerance=1e-4)


NOWHERE = points(2, 3, 4, 2)
NOWHERE[0, 0, 0, 0] = NOWHERE[1, 0, 1, 1] = NOWHERE[1, 2, 3] = np.nan
NOWHERE[0, 1, 1, 0], NOWHERE[1, 1, 0, 1] = np.inf, -np.inf

CASES = [
    *[
        Case("AffineGrid", [theta, size], {"align_corners": corners}, constant=(1,), name=f"{name} {corners}")
        for name, theta, size in (
            ("image", floats(2, 2, 3), ints(2, 3, 4, 5)),
            ("volume", floats(2, 3, 4), ints(2, 1, 2, 3, 4)),
            ("one row", floats(1, 2, 3), ints(1, 1, 1, 3)),
        )
        for corners in (0, 1)
    ],
    Case("AffineGrid", [floats(1, 2, 3), ints(1, 1, 2, 3)], name="size as input"),
    Case("GridSample", [IMAGE, points(2, 3, 2, 2)], name="defaults"),
    *[
        case
        for mode in OPSET_16
        for padding in ("zeros", "border", "reflection")
        for corners in (0, 1)
        for case in (
            *sampled("image", IMAGE, points(2, 3, 2, 2), mode, padding, corners),
            # onnxruntime takes images and volumes; onnx's reference repeats the border after its cubic kernel
            *([] if (mode, padding) == ("cubic", "border") else [
                *sampled("line", LINE, points(2, 4, 1), mode, padding, corners, refused=True),
                *sampled("volume", VOLUME, points(1, 2, 1, 3, 3), mode, padding, corners, refused=mode == "cubic"),
            ]),
        )
    ],
    *[
        Case(
            "GridSample", [IMAGE, NOWHERE], {"mode": mode, "padding_mode": padding, "align_corners": corners},
            since=20, differentiable=False, name=f"nowhere {mode} {padding} {corners}", tolerance=1e-4,
        )
        for mode in ("linear", "nearest", "cubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (0, 1)
        if mode != "linear" or padding == "zeros"  # at NaN onnxruntime reads outside the image, or dies
    ],
    *[
        Case(
            "RoiAlign", [FEATURES, REGIONS, IMAGES],
            {"mode": mode, "sampling_ratio": ratio, "spatial_scale": scale, "output_height": 2, "output_width": 3}
            | more,
            since=since, until=until, name=f"{mode} {ratio} {scale} {name}",
        )
        for mode in ("avg", "max")
        for ratio in (0, 2)
        for scale in (1.0, 0.5)
        for since, until, name, more in (
            (10, 16, "unshifted", {}),
            (16, 99, "default", {}),
            (16, 99, "unshifted", {"coordinate_transformation_mode": "output_half_pixel"}),
        )
    ],
    Case("RoiAlign", [FEATURES, REGIONS[:1], IMAGES[:1]], since=16, name="defaults"),
    Case("RoiAlign", [FEATURES, REGIONS[:0], IMAGES[:0]], since=16, differentiable=False, name="no region"),
    *[
        Case(
            "MaxRoiPool", [FEATURES, POOLED], {"pooled_shape": shape, "spatial_scale": scale}, until=22, constant=(1,),
            name=f"{shape} {scale}",
        )
        for shape in ([2, 3], [1, 1], [4, 4])
        for scale in (1.0, 0.7)
    ],
    deformed("plain", (2, 2, 4, 5), (3, 2, 2, 3)),
    deformed("nothing optional", (1, 2, 4, 5), (3, 2, 2, 2), leave_out=(3, 4)),
    deformed("no bias", (1, 2, 4, 4), (2, 2, 2, 2), leave_out=(3,)),
    deformed(
        "everything", (2, 4, 4, 5), (2, 2, 2, 2), group=2, offset_group=2, pads=[1, 0, 2, 1], strides=[2, 1],
        dilations=[1, 2], kernel_shape=[2, 2],
    ),
    deformed("depthwise", (1, 2, 4, 4), (2, 1, 2, 2), group=2),
    deformed("offsets per channel", (1, 2, 4, 4), (2, 2, 2, 2), offset_group=2),
]  # fmt: skip


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_coordinates_that_are_no_numbers_get_no_gradient_and_spoil_none(mode: str, padding_mode: str) -> None:
    """Both gradients are those of the same grid with -1 in their place, but for a 0 there."""
    known = torch.from_numpy(np.where(np.isfinite(NOWHERE), NOWHERE, -1)).double().requires_grad_()
    grid = torch.from_numpy(NOWHERE).double().requires_grad_()
    image = torch.from_numpy(IMAGE).double().requires_grad_()
    how = {"mode": mode, "padding_mode": padding_mode}
    got, wanted = (
        torch.autograd.grad(grid_sample(image, place, **how).square().sum(), (image, place)) for place in (grid, known)
    )
    torch.testing.assert_close(got[0], wanted[0])
    torch.testing.assert_close(got[1], torch.where(torch.from_numpy(NOWHERE).isfinite(), wanted[1], 0.0))


@pytest.mark.parametrize("corners", [0, 1])
def test_a_volume_of_one_slice_is_read_cubically_like_its_image(corners: int) -> None:
    """The border is repeated before the kernel, as onnxruntime does it for images."""
    attributes = {"mode": "cubic", "padding_mode": "border", "align_corners": corners}
    grid = points(2, 3, 4, 2)
    case = Case("GridSample", [IMAGE, grid], attributes)
    (image,) = onnxruntime.InferenceSession(case.model(20).SerializeToString()).run(None, case.feed())
    slices, middle = torch.from_numpy(IMAGE).unsqueeze(2), np.zeros((2, 1, 3, 4, 1), np.float32)
    deep = torch.from_numpy(np.concatenate([grid[:, None], middle], -1))
    volume = grid_sample(slices, deep, **attributes)
    np.testing.assert_allclose(volume.squeeze(2).numpy(), image, rtol=1e-4, atol=1e-5)


def test_integers_are_sampled_in_their_type() -> None:
    x = torch.arange(12).reshape(1, 1, 3, 4)
    grid = torch.tensor([[[[-1.0, -1.0], [1.0, 1.0]]]])
    assert grid_sample(x, grid, mode="nearest", align_corners=1).tolist() == [[[[0, 11]]]]


def test_a_kernel_that_is_not_deformed_is_a_convolution() -> None:
    x, w = torch.from_numpy(floats(2, 4, 5, 6)), torch.from_numpy(floats(6, 2, 3, 2))
    y = deform_conv(x, w, torch.zeros(2, 12, 6, 4), group=2, pads=(1, 2, 2, 1), strides=(1, 2))
    wanted = F.conv2d(F.pad(x, (2, 1, 1, 2)), w, stride=(1, 2), groups=2)
    torch.testing.assert_close(y, wanted)


def test_at_whole_pixels_the_gradient_of_an_offset_looks_ahead() -> None:
    """Where training starts: offsets of zero."""
    x = torch.tensor([[[[1.0, 4.0, 9.0]]]])
    offset = torch.zeros(1, 2, 1, 3, requires_grad=True)
    deform_conv(x, torch.ones(1, 1, 1, 1), offset).sum().backward()
    assert offset.grad is not None
    assert offset.grad[0, 1].tolist() == [[3.0, 5.0, -9.0]]


def test_lines_and_volumes_are_deformed_too() -> None:
    for shape in ((7,), (3, 4, 3)):
        x, w = torch.from_numpy(floats(1, 2, *shape)), torch.from_numpy(floats(2, 2, *[2] * len(shape)))
        out = [size - 1 for size in shape]
        taps = 2 ** len(shape)
        shifted = torch.ones(1, taps * len(shape), *out)
        y = deform_conv(x, w, shifted)
        moved = F.pad(x, [0, 1] * len(shape))[(..., *[slice(1, None)] * len(shape))]
        convolve = {1: F.conv1d, 3: F.conv3d}[len(shape)]
        torch.testing.assert_close(y, convolve(moved, w))


def test_points_that_are_no_numbers_make_values_that_are_none() -> None:
    x, rois = torch.ones(1, 1, 3, 3), torch.full((1, 4), torch.nan)
    assert deform_conv(x, torch.ones(1, 1, 1, 1), torch.full((1, 2, 3, 3), torch.nan)).isnan().all()
    assert roi_align(x, rois, torch.zeros(1, dtype=torch.int64), sampling_ratio=1).shape == (1, 1, 1, 1)


def test_regions_far_larger_than_any_image_are_refused_before_their_points_are_made() -> None:
    x, image = torch.ones(1, 4, 8, 8), torch.zeros(1, dtype=torch.int64)
    with pytest.raises(LimitExceeded, match="1000000000 points of a bin along an axis, 16384 are allowed"):
        roi_align(x, torch.tensor([[0.0, 0.0, 1e9, 1e9]]), image)
    small = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    with pytest.raises(LimitExceeded, match="elements would be made"):
        roi_align(x, small, image, output_height=1 << 12, output_width=1 << 12, sampling_ratio=8)


def test_large_regions_do_not_touch_the_order_of_the_others() -> None:
    """Regions ask for different numbers of points; each one gets its own mean."""
    x = torch.from_numpy(RANDOM.uniform(size=(1, 1, 9, 9)).astype(np.float32))
    regions = torch.tensor([[0.0, 0.0, 9.0, 9.0], [2.0, 3.0, 3.0, 4.0]])
    image = torch.zeros(2, dtype=torch.int64)
    together = roi_align(x, regions, image)
    alone = torch.cat([roi_align(x, region[None], image[:1]) for region in regions])
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(together[0, 0, 0, 0], x.mean())
