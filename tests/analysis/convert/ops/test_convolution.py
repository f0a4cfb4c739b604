"""Cases of the convolution family."""

from tests.analysis.convert.ops.cases import Case, floats, ints

LINE, IMAGE, VOLUME = floats(2, 2, 7), floats(1, 2, 5, 6), floats(1, 1, 4, 3, 4)
SQUARE, BIAS = floats(4, 2, 3, 3), floats(4)
GROUPED = floats(4, 1, 3, 2)
BACK = floats(2, 3, 3, 2)
"""A transposed kernel: two channels in, three out."""
COLUMNS = floats(1, 8, 12)
"""Two channels of 2 x 2 blocks, twelve of them."""

CASES = [
    Case("Conv", [IMAGE, SQUARE, BIAS]),
    Case("Conv", [IMAGE, SQUARE, BIAS], {"kernel_shape": [3, 3]}, constant=(1, 2), name="own weights"),
    Case("Conv", [LINE, floats(3, 2, 3)], {"pads": [2, 2]}, name="line"),
    Case("Conv", [VOLUME, floats(2, 1, 2, 2, 3), floats(2)], {"pads": [0, 1, 0, 1, 0, 2]}, name="volume"),
    Case("Conv", [IMAGE, SQUARE, BIAS], {"pads": [1, 1, 1, 1], "strides": [2, 2]}, name="strides"),
    Case("Conv", [IMAGE, SQUARE, BIAS], {"pads": [0, 2, 1, 0], "strides": [2, 1]}, name="uneven pads"),
    Case("Conv", [IMAGE, SQUARE], {"dilations": [2, 1], "pads": [2, 1, 2, 1]}, name="dilations"),
    Case("Conv", [IMAGE, GROUPED, BIAS], {"group": 2}, name="groups"),
    Case("Conv", [IMAGE, floats(2, 1, 2, 2)], {"group": 2}, name="depthwise"),
    Case("Conv", [IMAGE, SQUARE], {"auto_pad": "VALID", "strides": [2, 1]}, name="valid"),
    *[
        case
        for mode in ("SAME_UPPER", "SAME_LOWER")
        for case in (
            Case("Conv", [IMAGE, floats(3, 2, 2, 4)], {"auto_pad": mode}, name=mode.lower()),
            Case("Conv", [IMAGE, SQUARE], {"auto_pad": mode, "strides": [2, 3]}, name=f"{mode.lower()} strides"),
            Case(
                "Conv", [LINE, floats(3, 2, 2)], {"auto_pad": mode, "dilations": [3]}, refused=True,
                name=f"{mode.lower()} dilations",
            ),
            Case("ConvTranspose", [IMAGE, BACK], {"auto_pad": mode, "strides": [2, 1]}, name=mode.lower()),
            Case(
                "ConvTranspose", [LINE, floats(2, 1, 4)], {"auto_pad": mode, "strides": [3]},
                name=f"{mode.lower()} line",
            ),
            Case(
                "ConvTranspose", [IMAGE, BACK], {"auto_pad": mode, "strides": [2, 2], "output_shape": [10, 11]},
                name=f"{mode.lower()} output shape",
            ),
        )
    ],
    Case("ConvTranspose", [IMAGE, BACK, floats(3)]),
    Case("ConvTranspose", [IMAGE, BACK, floats(3)], {"kernel_shape": [3, 2]}, constant=(1, 2), name="own weights"),
    Case("ConvTranspose", [LINE, floats(2, 3, 3), floats(3)], {"strides": [2], "pads": [1, 1]}, name="line"),
    Case("ConvTranspose", [VOLUME, floats(1, 2, 2, 1, 2)], {"strides": [1, 2, 2]}, name="volume"),
    Case("ConvTranspose", [IMAGE, BACK, floats(3)], {"strides": [3, 2], "pads": [2, 0, 1, 1]}, name="uneven pads"),
    Case("ConvTranspose", [IMAGE, BACK], {"dilations": [2, 3]}, name="dilations"),
    Case("ConvTranspose", [IMAGE, floats(2, 2, 3, 3), BIAS], {"group": 2, "strides": [2, 2]}, name="groups"),
    Case(
        "ConvTranspose", [IMAGE, BACK, floats(3)], {"strides": [2, 2], "pads": [1, 0, 1, 0], "output_padding": [1, 1]},
        name="output padding",
    ),
    Case("ConvTranspose", [IMAGE, BACK], {"strides": [2, 2], "output_shape": [10, 11]}, name="output shape"),
    *[
        Case("ConvTranspose", [IMAGE, BACK], {"strides": [2, 2], "output_shape": [12, 13], **mode}, name=name)
        for name, mode in (("larger output shape", {}), ("larger output shape same upper", {"auto_pad": "SAME_UPPER"}))
    ],
    Case("ConvTranspose", [IMAGE, BACK], {"auto_pad": "VALID", "strides": [2, 2]}, name="valid"),
    Case("Col2Im", [COLUMNS, ints(4, 5), ints(2, 2)], constant=(1, 2)),
    Case("Col2Im", [COLUMNS, ints(4, 5), ints(2, 2)], name="shapes as inputs"),
    Case("Col2Im", [floats(2, 4, 5), ints(6), ints(2)], constant=(1, 2), name="line"),
    Case("Col2Im", [floats(1, 8, 4), ints(2, 3, 3), ints(2, 2, 2)], constant=(1, 2), name="volume"),
    Case(
        "Col2Im", [floats(1, 8, 9), ints(5, 6), ints(2, 2)], {"strides": [2, 2], "pads": [1, 0, 0, 1]},
        constant=(1, 2), name="strides and pads",
    ),
    Case("Col2Im", [COLUMNS, ints(5, 5), ints(2, 2)], {"dilations": [2, 1]}, constant=(1, 2), name="dilations"),
]  # fmt: skip
