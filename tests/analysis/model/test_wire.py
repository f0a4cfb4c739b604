import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper, parser

from analysis.errors import LimitExceeded, NotOnnx
from analysis.model import wire
from analysis.model.wire import KEEP_INLINE_BYTES, outline

RANDOM = np.random.default_rng(20261123)
LARGE = RANDOM.standard_normal((20, 30)).astype(np.float32)
SMALL = RANDOM.standard_normal(5).astype(np.float32)


def tensor(name: str, array: np.ndarray = LARGE) -> TensorProto:
    return numpy_helper.from_array(array, name)


def body(name: str) -> GraphProto:
    nodes = [
        helper.make_node("Constant", [], [f"{name}.c"], value=tensor(f"{name}.c", LARGE * 3)),
        helper.make_node("Add", [f"{name}.w", f"{name}.c"], [f"{name}.y"]),
    ]
    outputs = [helper.make_tensor_value_info(f"{name}.y", TensorProto.FLOAT, None)]
    return helper.make_graph(nodes, name, [], outputs, [tensor(f"{name}.w", LARGE * 2)])


def sparse(name: str) -> SparseTensorProto:
    values, indices = tensor(name, LARGE.reshape(-1)), tensor("", np.arange(600))
    return helper.make_sparse_tensor(values, indices, [600])


def everything() -> ModelProto:
    """A model with large tensors wherever ONNX allows one."""
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor("c")),
        helper.make_node("Constant", [], ["s"], sparse_value=sparse("s")),
        helper.make_node("If", ["b"], ["y"], then_branch=body("then"), else_branch=body("else")),
        helper.make_node("Other", ["y"], ["z"], domain="some", tables=[tensor("t1"), tensor("t2", SMALL)]),
        helper.make_node("f", ["z"], ["out"], domain="own"),
    ]
    inner = [
        helper.make_node("Constant", [], ["k"], value=tensor("k", LARGE * 5)),
        helper.make_node("Add", ["x", "k"], ["y"]),
    ]
    function = helper.make_function("own", "f", ["x"], ["y"], inner, [helper.make_opsetid("", 20)])
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "g", [], outputs, [tensor("w"), tensor("v", SMALL), tensor("b", np.array(True))])
    graph.sparse_initializer.append(sparse("p"))
    return helper.make_model(graph, functions=[function])


def tensors(message) -> Iterator[TensorProto]:
    if isinstance(message, TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if hasattr(value, "append") else [value]:
                yield from tensors(part)


def varint(value: int) -> bytes:
    content = b""
    while value > 0x7F:
        content += bytes([value & 0x7F | 0x80])
        value >>= 7
    return content + bytes([value])


def field(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def test_large_tensors_are_found_again_byte_for_byte_wherever_they_are() -> None:
    model = everything()
    content = model.SerializeToString()
    cut = outline(memoryview(content))
    parsed = ModelProto.FromString(cut.data)
    wanted, found = list(tensors(model)), list(tensors(parsed))
    assert len(wanted) == len(found) == 15
    for want, got in zip(wanted, found, strict=True):
        span = cut.span_of(got.raw_data)
        assert (span is None) == (len(want.raw_data) <= KEEP_INLINE_BYTES)
        raw = got.raw_data if span is None else content[span.start : span.start + span.length]
        assert raw == want.raw_data
        assert (got.name, got.dims, got.data_type) == (want.name, want.dims, want.data_type)


def test_all_but_the_large_tensors_is_left_as_it_was() -> None:
    model = everything()
    cut = outline(memoryview(model.SerializeToString()))
    parsed = ModelProto.FromString(cut.data)
    for want, got in zip(tensors(model), tensors(parsed), strict=True):
        got.raw_data = want.raw_data
    assert parsed == model


def test_a_model_without_large_tensors_is_untouched() -> None:
    text = '<ir_version: 8, opset_import: ["": 20]> g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }'
    content = parser.parse_model(text).SerializeToString()
    cut = outline(memoryview(content))
    assert cut.data == content
    assert cut.spans == ()


def test_what_remains_is_small_however_large_the_tensors_are() -> None:
    graph = helper.make_graph([], "g", [], [], [tensor("w", np.zeros((1024, 1024), np.float32))])
    cut = outline(memoryview(helper.make_model(graph).SerializeToString()))
    assert len(cut.data) < 200
    assert cut.spans[0].length == 4 << 20


@pytest.mark.parametrize("size", [KEEP_INLINE_BYTES - 1, KEEP_INLINE_BYTES, KEEP_INLINE_BYTES + 1, 127, 128, 16_384])
def test_every_size_around_the_edges_comes_back(size: int) -> None:
    array = RANDOM.integers(0, 256, size).astype(np.uint8)
    graph = helper.make_graph([], "g", [], [], [tensor("w", array)])
    content = helper.make_model(graph).SerializeToString()
    cut = outline(memoryview(content))
    raw = ModelProto.FromString(cut.data).graph.initializer[0].raw_data
    span = cut.span_of(raw)
    assert (span is None) == (size <= KEEP_INLINE_BYTES)
    assert (raw if span is None else content[span.start : span.start + span.length]) == array.tobytes()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3000), max_size=6), st.integers(0, 2**32 - 1))
def test_any_mix_of_tensor_sizes_comes_back(sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [random.integers(0, 256, size).astype(np.uint8) for size in sizes]
    graph = helper.make_graph([], "g", [], [], [tensor(f"w{n}", array) for n, array in enumerate(arrays)])
    content = helper.make_model(graph).SerializeToString()
    cut = outline(memoryview(content))
    for array, found in zip(arrays, ModelProto.FromString(cut.data).graph.initializer, strict=True):
        span = cut.span_of(found.raw_data)
        raw = found.raw_data if span is None else content[span.start : span.start + span.length]
        assert raw == array.tobytes()


def test_no_file_can_forge_a_mark() -> None:
    first, second = (outline(memoryview(everything().SerializeToString())) for _ in range(2))
    marks = [part.raw_data for part in tensors(ModelProto.FromString(first.data)) if first.span_of(part.raw_data)]
    assert marks
    assert all(second.span_of(mark) is None for mark in marks)
    assert len(first.token) >= 16


def test_unknown_fields_are_kept() -> None:
    content = field(99, b"x" * 5000) + varint(98 << 3) + varint(7) + everything().SerializeToString()
    cut = outline(memoryview(content))
    assert cut.data.startswith(field(99, b"x" * 5000))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=4000))
def test_random_bytes_are_cut_or_refused_as_no_onnx(content: bytes) -> None:
    with suppress(NotOnnx):
        cut = outline(memoryview(content))
        assert len(cut.data) <= len(content)


def test_a_file_cut_short_anywhere_is_cut_or_refused_as_no_onnx() -> None:
    content = everything().SerializeToString()
    refused = 0
    for end in range(0, len(content), 7):
        try:
            outline(memoryview(content)[:end])
        except NotOnnx:
            refused += 1
    assert refused > len(content) // 7 * 0.9


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_flipped_bytes_are_cut_or_refused_as_no_onnx(data: st.DataObject) -> None:
    content = bytearray(everything().SerializeToString())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] = data.draw(st.integers(0, 255))
    with suppress(NotOnnx):
        outline(memoryview(bytes(content)))


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",  # a length of 63 bits
        b"\x0a\x05abc",  # a payload past the end
        b"\x09abc",  # half a double
        b"\x0dab",  # half a float
        b"\x80" * 20,  # a varint without an end
        b"\x08" + b"\xff" * 12,  # a value longer than a varint may be
        b"\x0b\x0c",  # a group
        b"\x0f",  # a wire type that does not exist
        b"\x0a",  # a key without a payload
    ],
)
def test_broken_wire_formats_are_refused(content: bytes) -> None:
    with pytest.raises(NotOnnx):
        outline(memoryview(content))


def test_messages_nested_without_end_are_refused_at_once() -> None:
    content = field(5, field(9, b"x" * 2000))  # a GraphProto's tensor
    for _ in range(300):
        content = field(1, field(5, field(6, content)))  # node, attribute, graph
    started = time.perf_counter()
    with pytest.raises(NotOnnx, match="deep"):
        outline(memoryview(field(7, content)))
    assert time.perf_counter() - started < 1


def test_the_empty_file_has_an_empty_outline() -> None:
    assert outline(memoryview(b"")).data == b""


@pytest.mark.parametrize("values", [{"ints": [0, 1, -1, 1 << 40] * 500}, {"floats": [1.5, -0.0] * 1000}])
def test_numbers_in_their_millions_are_passed_over_at_once(monkeypatch: pytest.MonkeyPatch, values: Any) -> None:
    weight = numpy_helper.from_array(np.arange(1000.0), "w")
    node = helper.make_node("Many", ["x"], ["y"], domain="d", weight=weight, **values)
    content = helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString()
    monkeypatch.setattr(wire, "MOST_FIELDS", 50)
    cut = outline(memoryview(content))
    (span,) = cut.spans
    assert content[span.start : span.start + span.length] == weight.raw_data


def test_more_texts_than_anybody_walks_over_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    node = helper.make_node("Many", ["x"], ["y"], domain="d", strings=[b"text"] * 500)
    content = helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString()
    monkeypatch.setattr(wire, "MOST_FIELDS", 400)
    with pytest.raises(LimitExceeded, match="more than 400 fields"):
        outline(memoryview(content))
