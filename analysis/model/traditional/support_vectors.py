"""Support vector machines: a kernel against stored samples [supports, features], then a layer of coefficients.

With K = k(X, V): LINEAR x.v, POLY (g x.v + c)^d, SIGMOID tanh(g x.v + c), RBF exp(-g |x - v|^2). Coefficients and rho
are a linear layer on K and train; the support vectors V are samples and do not.
"""

from itertools import combinations
from typing import Final

import numpy as np
from onnx import TensorProto

from analysis.model.traditional.linear import rows
from analysis.model.traditional.scores import put_transformed, put_two_columns
from analysis.model.traditional.writer import NotRewritten, Writer, rewriting

MULTICLASS: Final = 11
"""The opset from which GatherElements is there."""


@rewriting("SVMRegressor")
def svm_regressor(writer: Writer) -> None:
    """K c + rho; a regressor of one class gives a sign, which is left."""
    supports = int(writer.attributes.get("n_supports", 0))
    if not supports or writer.attributes.get("one_class", 0) or writer.text("post_transform", "NONE") == "PROBIT":
        raise NotRewritten
    weight = writer.parameter("coefficients", writer.floats("coefficients").reshape(1, supports))
    bias = writer.parameter("rho", writer.floats("rho")[:1])
    writer.put("Gemm", [_kernel(writer, supports), weight, bias], writer.node.output[0], transB=1)


@rewriting("SVMClassifier")
def svm_classifier(writer: Writer) -> None:
    """A score for each pair of classes, of two classes in two columns; the label by votes.

    The coefficients are [classes - 1, supports]: row j - 1 of the supports of class i, and row i of those of class j,
    tell i from j. Calibrated probabilities onnxruntime finds by iteration, roughly: they are left.
    """
    sizes = [int(size) for size in writer.attributes.get("vectors_per_class", ())]
    classes, supports = len(sizes), sum(sizes)
    if classes < 2 or not supports or "prob_a" in writer.attributes or (classes > 2 and writer.opset < MULTICLASS):
        raise NotRewritten
    coefficients = writer.parameter("coefficients", writer.floats("coefficients").reshape(classes - 1, supports))
    weight = coefficients if classes == 2 else _of_pairs(writer, coefficients, sizes)
    bias = writer.parameter("rho", writer.floats("rho")[: classes * (classes - 1) // 2])
    raw = writer.put("Gemm", [_kernel(writer, supports), weight, bias], transB=1)
    label, scores = [*writer.node.output, ""][:2]
    if label:
        _put_vote(writer, raw, classes, label)
    if scores and classes == 2:
        _put_two(writer, raw, scores)
    elif scores:
        put_transformed(writer, raw, scores)


def _kernel(writer: Writer, supports: int) -> str:
    """K [N, supports]."""
    kind, samples = writer.text("kernel_type", "LINEAR"), writer.floats("support_vectors").reshape(supports, -1)
    gamma, offset, degree = [*writer.floats("kernel_params"), *np.zeros(3, np.float32)][:3]
    value = rows(writer)
    product = writer.put("MatMul", [value, writer.constant("support_vectors", np.ascontiguousarray(samples.T))])
    if kind == "LINEAR":
        return product
    if kind == "RBF":
        squares = writer.put_over("ReduceSum", writer.put("Mul", [value, value]), [1], keepdims=1)
        norms = writer.constant("squared_norms", np.square(samples, dtype=np.float64).sum(1).astype(np.float32))
        distances = writer.put("Sub", [writer.put("Add", [squares, norms]), writer.put("Add", [product, product])])
        least = writer.put("Max", [distances, writer.constant("least", np.zeros((), np.float32))])
        return writer.put("Exp", [writer.put("Mul", [least, writer.constant("gamma", np.array([-gamma], np.float32))])])
    scaled = writer.put("Mul", [product, writer.constant("gamma", np.array([gamma], np.float32))])
    inner = writer.put("Add", [scaled, writer.constant("coef0", np.array([offset], np.float32))])
    if kind == "SIGMOID":
        return writer.put("Tanh", [inner])
    if kind == "POLY":
        return writer.put("Pow", [inner, writer.constant("degree", np.array([degree], np.float32))])
    raise NotRewritten


def _of_pairs(writer: Writer, coefficients: str, sizes: list[int]) -> str:
    """The coefficients as [pairs, supports]: of each pair the rows that are its own, else 0."""
    owner = np.repeat(np.arange(len(sizes)), sizes)
    pairs = np.array(list(combinations(range(len(sizes)), 2)))
    first, second = pairs[:, :1], pairs[:, 1:]
    row = np.where(owner == first, second - 1, np.where(owner == second, first, 0)).astype(np.int64)
    mine = ((owner == first) | (owner == second)).astype(np.float32)
    picked = writer.put("GatherElements", [coefficients, writer.constant("rows", row)], axis=0)
    return writer.put("Mul", [picked, writer.constant("supports_of_pairs", mine)])


def _put_vote(writer: Writer, raw: str, classes: int, output: str) -> None:
    """The class that wins most pairs: the first of a pair where its score is positive, else the second."""
    labels = np.asarray(writer.attributes.get("classlabels_ints", ()), np.int64)
    if labels.size != classes:
        raise NotRewritten
    pairs = list(combinations(range(classes), 2))
    first, second = (np.eye(classes, dtype=np.float32)[[pair[side] for pair in pairs]] for side in (0, 1))
    zero = writer.constant("threshold", np.zeros((), np.float32))
    won = writer.put("Cast", [writer.put("Greater", [raw, zero])], to=TensorProto.FLOAT)
    gained = writer.put("MatMul", [won, writer.constant("votes", first - second)])
    votes = writer.put("Add", [gained, writer.constant("votes_of_the_second", second.sum(0))])
    place = writer.put("ArgMax", [votes], axis=1, keepdims=0)
    writer.put("Gather", [writer.constant("labels", labels), place], output, axis=0)


def _put_two(writer: Writer, raw: str, output: str) -> None:
    """Two columns: [-s, s], or as onnxruntime publishes one score of a classifier."""
    if writer.text("post_transform", "NONE") == "NONE":
        writer.put("Mul", [raw, writer.constant("sides", np.array([-1, 1], np.float32))], output)
    else:
        put_two_columns(writer, raw, output)
