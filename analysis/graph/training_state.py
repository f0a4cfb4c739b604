"""Whether weights look trained.

An untrained weight is a draw: its entries follow a normal or uniform law (Kolmogorov-Smirnov distance), and its
largest singular value sits at the edge sigma (sqrt(m) + sqrt(n)) of random matrices (Marchenko and Pastur 1967).
Training leaves outliers of the spectrum and skews the law; BatchNormalization keeps running statistics that are no
longer 0 and 1. Used to choose synthetic labels and to say when a re-initialisation would destroy learning; never for
a verdict.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from analysis.graph.slots import role_of
from analysis.model import CheckedModel
from analysis.model.nodes import attributes_of

BY_ATTRIBUTE: Final = 14  # opset
FEWEST: Final = 256  # elements of a weight that can be judged
SAMPLE: Final = 4096  # elements the law is judged on
CRITICAL: Final = 1.95  # Kolmogorov-Smirnov at p = .001, over sqrt(n)
SLACK: Final = 0.015  # truncated normal draws deviate this much
EDGE: Final = 1.1  # largest singular value over the edge; one fresh matrix in a thousand of 8 x 27 exceeds it
NARROWEST: Final = 8
MAJORITY: Final = 0.5
FITTED: Final = frozenset({"skl2onnx", "OnnxMLTools"})
"""Producers that take fitted models only."""


def looks_trained(model: CheckedModel, trainable: Iterable[str]) -> bool:
    """Whether half of the weights look trained, a BatchNormalization has seen data, or the producer takes nothing else.

    What converts scikit-learn's models refuses one that was not fitted.
    """
    if model.proto.producer_name in FITTED or any(_collected(model)):
        return True
    return _most_look_trained([model.weights[name] for name in trainable if _can_judge(model, name)])


def _most_look_trained(weights: Sequence[npt.NDArray[np.generic]]) -> bool:
    """Whether half of them do; small ones are asked first, and no more than it takes to know."""
    wanted = MAJORITY * len(weights)
    trained = 0
    for asked, weight in enumerate(sorted(weights, key=lambda weight: weight.size)):
        if trained >= wanted or trained + len(weights) - asked < wanted:
            break
        trained += _weight_looks_trained(weight)
    return bool(weights) and trained >= wanted


def _can_judge(model: CheckedModel, name: str) -> bool:
    """Whether it is a matrix, and large enough.

    [1, C, 1, 1] is a scale, an offset or a statistic; a bias of a recurrent operator or of experts has a row for each.
    """
    weight = model.weights[name]
    is_matrix = sum(size > 1 for size in weight.shape) > 1
    if not is_matrix or weight.size < FEWEST or weight.dtype.kind not in "fiu":
        return False
    return not any(slot >= 0 and role_of(node, slot) == "bias" for node, slot in model.consumers.get(name, ()))


def with_running_statistics(model: CheckedModel) -> list[NodeProto]:
    """The BatchNormalizations that use theirs in eval mode; an export for training may always ask for the batch's."""
    return [
        node
        for node in model.nodes
        if node.op_type == "BatchNormalization" and not asks_for_batch_statistics(node, model.opset())
    ]


def asks_for_batch_statistics(node: NodeProto, opset: int) -> bool:
    """Whether a BatchNormalization is in the training form whatever mode the network is in.

    From opset 14 an attribute says so; before, a node that declares statistics as outputs is (unless `is_test` is set).
    """
    attributes = attributes_of(node)
    if opset >= BY_ATTRIBUTE:
        return bool(attributes.get("training_mode", 0))
    return any(node.output[1:]) and not attributes.get("is_test", 0)


def frozen_statistics(model: CheckedModel, freeze: Iterable[str]) -> list[NodeProto]:
    """The BatchNormalizations that keep to their running statistics while the network trains.

    Those whose statistics are named in `freeze`, a star alone aside, and in an export for training those that are not
    in its form.

        BatchNormalization(training_mode=1), BatchNormalization(training_mode=0)    the second is frozen
        BatchNormalization(training_mode=0) alone                                   an export for use: nothing is known
    """
    patterns = [pattern for pattern in freeze if pattern.strip("*?")]
    trains = is_for_training(model)
    return [
        node
        for node in with_running_statistics(model)
        if trains or any(fnmatchcase(name, pattern) for name in node.input[3:5] for pattern in patterns)
    ]


def is_for_training(model: CheckedModel) -> bool:
    """Whether some node works as it does in training only: its Dropout drops, or its statistics are the batch's."""
    return normalizes_by_batch(model) or any(_drops(model, node) for node in model.nodes if node.op_type == "Dropout")


def normalizes_by_batch(model: CheckedModel) -> bool:
    """Whether some BatchNormalization uses the statistics of the batch whatever mode the network is in."""
    return any(
        node.op_type == "BatchNormalization" and asks_for_batch_statistics(node, model.opset()) for node in model.nodes
    )


def _drops(model: CheckedModel, node: NodeProto) -> bool:
    """Whether a Dropout is told to be on, which opset 12 has an input for."""
    mode = model.weights.get(node.input[2]) if len(node.input) > 2 else None
    return mode is not None and bool(mode)


def has_fresh_statistics(model: CheckedModel) -> bool:
    """Whether some of these statistics are the 0 and 1 they start with."""
    return not all(_collected(model))


def _collected(model: CheckedModel) -> Iterator[bool]:
    """Of each with stored statistics, whether these have seen data; an export for training moves them by itself."""
    for node in with_running_statistics(model):
        if {node.input[3], node.input[4]} <= model.weights.keys():
            mean, variance = model.weights[node.input[3]], model.weights[node.input[4]]
            yield bool(np.any(mean != 0) or np.any(variance != 1))


def _weight_looks_trained(weight: npt.NDArray[np.generic]) -> bool:
    """Of integers that stand for floats the law is that of the floats: scale and zero point change nothing of it."""
    if weight.dtype.kind in "iu":
        weight = weight.astype(np.float32) - np.float32(weight.mean())
    values = weight.reshape(-1)[:: max(1, weight.size // SAMPLE)].astype(np.float64)
    deviation = values.std()
    if deviation == 0:
        return False
    standard = np.sort((values - values.mean()) / deviation)
    ranks = (np.arange(len(standard)) + 0.5) / len(standard)
    normal = np.array([0.5 * (1 + math.erf(z / math.sqrt(2))) for z in standard])
    uniform = np.clip((standard / math.sqrt(3) + 1) / 2, 0, 1)
    distance = min(np.abs(ranks - normal).max(), np.abs(ranks - uniform).max())
    return bool(distance > CRITICAL / math.sqrt(len(standard)) + SLACK) or _spectral_edge(weight) > EDGE


def _spectral_edge(weight: npt.NDArray[np.generic]) -> float:
    """Largest singular value, by power iteration, over that of a random matrix of the same shape and variance.

    [M, C, k, k]    one row for each unit
    [D, 4 H, I]     the one or two directions of an LSTM, a few experts: matrices, one below the other
    """
    stacked = weight.ndim > 2 and weight.shape[0] < NARROWEST
    matrix = weight.reshape((-1, weight.shape[-1]) if stacked else (weight.shape[0], -1)).astype(np.float64)
    rows, columns = matrix.shape
    if min(rows, columns) < NARROWEST:
        return 1.0
    vector = np.random.default_rng(0).standard_normal(columns)
    value = 0.0
    for _ in range(15):
        image = matrix @ (vector / np.linalg.norm(vector))
        vector = matrix.T @ image
        value = float(np.linalg.norm(image))
    return value / (float(matrix.std()) * (math.sqrt(rows) + math.sqrt(columns)))
