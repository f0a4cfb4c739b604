"""Linear models: a Gemm whose weights are the coefficients [outputs, features] and the intercepts [outputs]."""

import numpy as np
from onnx import TensorProto

from analysis.model.traditional.scores import put_label, put_transformed, put_two_columns
from analysis.model.traditional.writer import NotRewritten, Writer, rewriting
from analysis.model.weights import Array


@rewriting("LinearRegressor")
def linear_regressor(writer: Writer) -> None:
    """X C^T + b; of a single target onnxruntime publishes the score whatever `post_transform` says."""
    targets = int(writer.attributes.get("targets", 1))
    raw = put_product(writer, writer.floats("coefficients"), writer.floats("intercepts"), targets)
    if targets == 1 and writer.text("post_transform", "NONE") != "PROBIT":
        writer.put("Identity", [raw], writer.node.output[0])
    else:
        put_transformed(writer, raw, writer.node.output[0])


@rewriting("LinearClassifier")
def linear_classifier(writer: Writer) -> None:
    """Scores X C^T + b and the label of the highest; one score for two classes is that of the second."""
    intercepts = writer.floats("intercepts")
    raw = put_product(writer, writer.floats("coefficients"), intercepts, len(intercepts))
    put_classes(writer, raw, len(intercepts))


def put_product(writer: Writer, coefficients: Array, intercepts: Array, outputs: int) -> str:
    """The raw scores [N, outputs]; one sample [features] is a batch of one."""
    if not outputs or not coefficients.size:
        raise NotRewritten
    weight = writer.parameter("coefficients", coefficients.reshape(outputs, -1))
    bias = [writer.parameter("intercepts", intercepts)] if intercepts.size else []
    return writer.put("Gemm", [rows(writer), weight, *bias], transB=1)


def put_classes(writer: Writer, raw: str, columns: int) -> None:
    """Label and scores of a classifier with these raw scores."""
    label, scores = [*writer.node.output, ""][:2]
    known = max(len(writer.attributes.get(name, ())) for name in ("classlabels_ints", "classlabels_strings"))
    if label:
        put_label(writer, raw, columns, label)
    if scores and columns == 1 and known == 2:
        put_two_columns(writer, raw, scores)
    elif scores:
        put_transformed(writer, raw, scores)


def rows(writer: Writer) -> str:
    """The input as float32 [N, features]."""
    value = writer.cast(writer.node.input[0], TensorProto.FLOAT)
    if writer.types.rank(writer.node.input[0]) == 1:
        value = writer.put("Reshape", [value, writer.constant("shape", np.array([1, -1], np.int64))])
    return value
