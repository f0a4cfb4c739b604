"""What classifiers make of raw scores [N, columns]: a label for each sample, and the scores as they are published."""

from typing import Final

import numpy as np
from onnx import TensorProto

from analysis.model.traditional.writer import NotRewritten, Writer

SMALLEST: Final = 1e-7
"""What SOFTMAX_ZERO of onnxruntime takes for zero."""


def put_transformed(writer: Writer, raw: str, output: str) -> None:
    """The scores after `post_transform`. PROBIT is no function of the standard."""
    post = writer.text("post_transform", "NONE")
    if post == "NONE":
        writer.put("Identity", [raw], output)
    elif post == "LOGISTIC":
        writer.put("Sigmoid", [raw], output)
    elif post == "SOFTMAX":
        writer.put("Softmax", [raw], output, axis=1)
    elif post == "SOFTMAX_ZERO":
        _put_softmax_of_nonzero(writer, raw, output)
    else:
        raise NotRewritten


def put_two_columns(writer: Writer, raw: str, output: str) -> None:
    """[1 - s, s] of one score s, or of its logistic function, as onnxruntime publishes it.

    The latter is the softmax of [0, s], which keeps the logits apart from their probabilities.
    """
    post = writer.text("post_transform", "NONE")
    if post == "PROBIT":
        raise NotRewritten
    if post == "LOGISTIC":
        second = writer.constant("second_column", np.array([0, 1], np.float32))
        writer.put("Softmax", [writer.put("Mul", [raw, second])], output, axis=1)
        return
    sides = writer.put("Mul", [raw, writer.constant("sides", np.array([-1, 1], np.float32))])
    writer.put("Add", [sides, writer.constant("first_column", np.array([1, 0], np.float32))], output)


def _put_softmax_of_nonzero(writer: Writer, raw: str, output: str) -> None:
    """Softmax over the scores that are not zero; those stay zero."""
    size = writer.put("Abs", [raw])
    counted = writer.put("Greater", [size, writer.constant("smallest", np.array(SMALLEST, np.float32))])
    highest = writer.put_over("ReduceMax", raw, [1], keepdims=1)
    powers = writer.put("Exp", [writer.put("Sub", [raw, highest])])
    kept = writer.put("Mul", [powers, writer.put("Cast", [counted], to=TensorProto.FLOAT)])
    total = writer.put_over("ReduceSum", kept, [1], keepdims=1)
    least = writer.put("Max", [total, writer.constant("least", np.array(1e-30, np.float32))])
    writer.put("Div", [kept, least], output)


def put_label(writer: Writer, raw: str, classes: int, output: str) -> None:
    """The class of the highest score, or of one score whether it is positive. Strings are left to `tail`."""
    labels = np.asarray(writer.attributes.get("classlabels_ints", ()), np.int64)
    if not labels.size:
        raise NotRewritten
    if classes == 1:
        zero = writer.constant("threshold", np.zeros(1, np.float32))
        positive = writer.put("Cast", [writer.put("Greater", [raw, zero])], to=TensorProto.INT64)
        place = writer.put("Reshape", [positive, writer.constant("shape", np.array([-1], np.int64))])
    else:
        known = np.array_equal(labels, np.arange(classes))
        place = writer.put("ArgMax", [raw], output if known else "", axis=1, keepdims=0)
        if known:
            return
    writer.put("Gather", [writer.constant("labels", labels), place], output, axis=0)
