"""Choosing, joining and counting features: what selects columns and what turns categories into numbers."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from analysis.model.traditional.writer import NotRewritten, Writer, rewriting
from analysis.model.weights import Array

WHOLE: Final = np.array([-1], np.int64)
KEYS: Final[Mapping[str, type]] = {"int64s": np.int64, "floats": np.float32}


@rewriting("ArrayFeatureExtractor")
def array_feature_extractor(writer: Writer) -> None:
    """The numbers at these places of the last axis; of a vector they come as a row."""
    value, places = writer.node.input
    flat = writer.put("Reshape", [places, writer.constant("shape", WHOLE)])
    if writer.types.rank(value) == 1:
        row = writer.put("Gather", [value, flat], axis=0)
        writer.put("Reshape", [row, writer.constant("row", np.array([1, -1], np.int64))], writer.node.output[0])
    elif writer.types.rank(value) == 2 or writer.opset >= 11:
        writer.put("Gather", [value, flat], writer.node.output[0], axis=1 if writer.opset < 11 else -1)
    else:
        raise NotRewritten
    writer.types.note(writer.node.output[0], writer.types.element(value))


@rewriting("FeatureVectorizer")
def feature_vectorizer(writer: Writer) -> None:
    """All inputs [N, features] beside each other as float32."""
    parts = [writer.cast(name, TensorProto.FLOAT) for name in writer.node.input]
    if any(writer.types.rank(name) == 1 for name in writer.node.input):
        raise NotRewritten
    writer.put("Concat", parts, writer.node.output[0], axis=1)
    writer.types.note(writer.node.output[0], TensorProto.FLOAT)


@rewriting("OneHotEncoder")
def one_hot_encoder(writer: Writer) -> None:
    """1 at the place of the category along a new last axis, 0 elsewhere; all 0 for a category that is none of them."""
    categories = np.asarray(writer.attributes.get("cats_int64s", ()), np.int64)
    if not categories.size or writer.types.element(writer.node.input[0]) == TensorProto.STRING:
        raise NotRewritten
    same = _compared(writer, writer.cast(writer.node.input[0], TensorProto.INT64), categories, "categories")
    writer.put("Cast", [same], writer.node.output[0], to=TensorProto.FLOAT)
    writer.types.note(writer.node.output[0], TensorProto.FLOAT)


@rewriting("LabelEncoder")
def label_encoder(writer: Writer) -> None:
    """The value that belongs to each key, or the default; numbers only."""
    keys, values = _column(writer, "keys"), _column(writer, "values")
    wanted = helper.np_dtype_to_tensor_dtype(values.dtype)
    default = np.asarray(_default(writer, wanted), values.dtype).reshape(-1)[:1]
    if keys.shape != values.shape or not keys.size or np.isnan(keys).any() or writer.opset < 11:
        raise NotRewritten
    value = writer.cast(writer.node.input[0], helper.np_dtype_to_tensor_dtype(keys.dtype))
    same = writer.put("Cast", [_compared(writer, value, keys, "keys")], to=TensorProto.FLOAT)
    first = writer.put("ArgMax", [same], axis=-1, keepdims=0)
    found = writer.put("Gather", [writer.constant("values", values), first], axis=0)
    known = writer.put("Cast", [writer.put_over("ReduceMax", same, [-1], keepdims=0)], to=TensorProto.BOOL)
    writer.put("Where", [known, found, writer.constant("default", default)], writer.node.output[0])
    writer.types.note(writer.node.output[0], wanted)


def _compared(writer: Writer, value: str, with_these: Array, what: str) -> str:
    """Where a value equals each of these numbers, along a new last axis."""
    if writer.opset < 11:
        raise NotRewritten
    return writer.put("Equal", [writer.put_over("Unsqueeze", value, [-1]), writer.constant(what, with_these)])


def _column(writer: Writer, what: str) -> Array:
    """Keys or values, which are a list of one of the types or a tensor."""
    for suffix, kind in KEYS.items():
        if f"{what}_{suffix}" in writer.attributes:
            return np.asarray(writer.attributes[f"{what}_{suffix}"], kind)
    tensor = writer.attributes.get(f"{what}_tensor")
    if tensor is None or tensor.data_type == TensorProto.STRING:
        raise NotRewritten
    return numpy_helper.to_array(tensor).reshape(-1)


def _default(writer: Writer, wanted: int) -> Any:
    tensor = writer.attributes.get("default_tensor")
    if tensor is not None:
        return numpy_helper.to_array(tensor)
    if wanted == TensorProto.INT64:
        return writer.attributes.get("default_int64", -1)
    return writer.attributes.get("default_float", -0.0)
