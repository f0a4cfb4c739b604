"""Models written as ONNX text."""

import onnx.parser


def text_model(text: str) -> bytes:
    return onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17, "house" : 1]> test {text}'
    ).SerializeToString()
