"""What is done to features before any weight: the numbers in these nodes were read off the data and do not train."""

import numpy as np
from onnx import TensorProto, helper

from analysis.model.traditional.writer import NotRewritten, Writer, rewriting

NORMS = {"MAX": "ReduceMax", "L1": "ReduceL1", "L2": "ReduceL2"}
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE)


@rewriting("Scaler")
def scaler(writer: Writer) -> None:
    """(X - offset) scale, each for all features or for every one."""
    shifted = writer.put("Sub", [_floats(writer), writer.constant("offset", writer.floats("offset"))])
    writer.put("Mul", [shifted, writer.constant("scale", writer.floats("scale"))], writer.node.output[0])


@rewriting("Normalizer")
def normalizer(writer: Writer) -> None:
    """Each row over its norm; a row whose norm is 0 stays. MAX is the largest number, not the largest size."""
    value, norm = _floats(writer), NORMS.get(writer.text("norm", "MAX"))
    if norm is None:
        raise NotRewritten
    size = writer.put_over(norm, value, [-1], keepdims=1)
    present = writer.put("Cast", [size], to=TensorProto.BOOL)
    divisor = writer.put("Where", [present, size, writer.constant("one", np.ones(1, np.float32))])
    writer.put("Div", [value, divisor], writer.node.output[0])


@rewriting("Imputer")
def imputer(writer: Writer) -> None:
    """The number for all features or for each where the missing mark stands: NaN, or a number."""
    value = writer.node.input[0]
    element = writer.types.element(value)
    whole = "imputed_value_int64s" in writer.attributes
    if element == TensorProto.UNDEFINED:
        element = TensorProto.INT64 if whole else TensorProto.FLOAT
    kind = helper.tensor_dtype_to_np_dtype(element)
    fill = writer.attributes.get("imputed_value_int64s" if whole else "imputed_value_floats", ())
    mark = writer.attributes.get("replaced_value_int64" if whole else "replaced_value_float", 0)
    if not len(fill) or element not in {*FLOATS, TensorProto.INT64}:
        raise NotRewritten
    if np.isnan(mark):
        missing = writer.put("IsNaN", [value])
    elif writer.opset < 11 and element in FLOATS:  # Equal compares integers only before
        raise NotRewritten
    else:
        missing = writer.put("Equal", [value, writer.constant("replaced_value", np.array([mark], kind))])
    imputed = writer.constant("imputed_values", np.asarray(fill, kind))
    writer.put("Where", [missing, imputed, value], writer.node.output[0])
    writer.types.note(writer.node.output[0], element)


@rewriting("Binarizer")
def binarizer(writer: Writer) -> None:
    """1 where the input is over the threshold, else 0."""
    threshold = writer.constant("threshold", np.array([writer.attributes.get("threshold", 0.0)], np.float32))
    over = writer.put("Greater", [_floats(writer), threshold])
    writer.put("Cast", [over], writer.node.output[0], to=TensorProto.FLOAT)


def _floats(writer: Writer) -> str:
    """The input as float32, in which the output comes."""
    writer.types.note(writer.node.output[0], TensorProto.FLOAT)
    return writer.cast(writer.node.input[0], TensorProto.FLOAT)
