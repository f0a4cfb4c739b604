"""Attributes outside what their operator can mean: a stride of 0, an axis of 2^62, a group that divides no channels.

What an attribute says by itself is checked of every node, of those in bodies too; what depends on ranks and channels of
the nodes of the main graph, as far as shape inference knows them. `onnx.checker` looks at names and types only.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from onnx import NodeProto, TensorProto, ValueInfoProto

from analysis.errors import InvalidModel
from analysis.model.nodes import STANDARD_DOMAINS, all_nodes, attributes_of, label

LARGEST: Final = 2**31 - 1
MOST_AXES: Final = 64
"""torch and numpy know no tensor with more."""
KNOWN_DOMAINS: Final = frozenset({*STANDARD_DOMAINS, "com.microsoft"})
POSITIVE: Final = frozenset(
    {
        "kernel_shape", "strides", "dilations", "group", "offset_group", "blocksize", "num_outputs", "num_groups",
        "hidden_size", "q_num_heads", "kv_num_heads", "num_heads", "sample_size", "num_scan_inputs", "output_height",
        "output_width", "pooled_shape",
    }
)  # fmt: skip
NOT_NEGATIVE: Final = frozenset({"split", "output_padding", "batch_dims", "sampling_ratio"})
AXES: Final = frozenset({"axis", "axes", "batch_axis", "time_axis", "scan_input_axes", "scan_output_axes"})
OPEN: Final = frozenset({("RotaryEmbedding", "num_heads")})
"""Where 0 says that the input tells."""
RECURRENT: Final = frozenset({"RNN", "GRU", "LSTM"})
WORDS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    **{(op, "direction"): frozenset({"forward", "reverse", "bidirectional"}) for op in RECURRENT},
    ("GridSample", "padding_mode"): frozenset({"zeros", "border", "reflection"}),
    ("Resize", "nearest_mode"): frozenset({"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}),
    ("Resize", "mode"): frozenset({"nearest", "linear", "cubic"}),
    ("DepthToSpace", "mode"): frozenset({"DCR", "CRD"}),
    ("Pad", "mode"): frozenset({"constant", "reflect", "edge", "wrap"}),
    ("Gelu", "approximate"): frozenset({"none", "tanh"}),
}
PADDINGS: Final = frozenset({"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"})
"""Of auto_pad, whichever operator has it."""
EQUATION: Final = re.compile(rb"{0}(,{0})*(->{0})?".replace(b"{0}", rb"[A-Za-z ]*(\.\.\.[A-Za-z ]*)?"))
"""Of Einsum; at any other character onnx's shape inference turns around for ever."""
ALONG_INPUT: Final = frozenset(
    {
        "Softmax", "LogSoftmax", "Hardmax", "Concat", "Split", "Gather", "GatherElements", "ScatterElements", "ArgMax",
        "ArgMin", "Flatten", "LayerNormalization", "RMSNormalization", "Compress", "TopK", "LpNormalization",
    }
)  # fmt: skip
BEHIND_LAST: Final = frozenset({"Flatten", "Softmax", "LogSoftmax", "Hardmax"})
"""May name the axis behind the last one; the three latter before opset 13."""
SLIDING: Final = frozenset({"Conv", "ConvTranspose", "AveragePool", "MaxPool", "LpPool"})
Values = Mapping[str, ValueInfoProto]


class Fault(NamedTuple):
    """An attribute, and what it may be instead."""

    name: str
    allowed: str


def check_attributes(nodes: Iterable[NodeProto]) -> None:
    """What attributes say by themselves. Raises InvalidModel naming node, attribute, value and what is allowed."""
    for node in all_nodes(nodes):
        if node.domain in KNOWN_DOMAINS:
            _refuse(node, (fault for name, value in attributes_of(node).items() for fault in _alone(node, name, value)))


def check_against_shapes(nodes: Iterable[NodeProto], values: Values) -> None:
    """What attributes say of ranks and channels, where these are known. Raises InvalidModel as `check_attributes`."""
    for node in nodes:
        if node.domain in STANDARD_DOMAINS and node.attribute:
            _refuse(node, _of_shapes(node, attributes_of(node), values))


def _refuse(node: NodeProto, faults: Iterator[Fault]) -> None:
    fault = next(faults, None)
    if fault is not None:
        value = attributes_of(node)[fault.name]
        told = value.decode(errors="replace") if isinstance(value, bytes) else value
        raise InvalidModel(
            f"attribute {fault.name} of {node.op_type} is {_shown(told)}, allowed: {fault.allowed}",
            where=label(node),
            hint=f"correct {fault.name} of this node where the model is made, and export it again",
        )


def _shown(value: Any) -> str:
    return str(list(value) if isinstance(value, Sequence) and not isinstance(value, str) else repr(value))[:200]


# ------------------------------------------------------------------ by itself


def _alone(node: NodeProto, name: str, value: Any) -> Iterator[Fault]:
    numbers = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, int)]
    if name in POSITIVE and (node.op_type, name) not in OPEN and not _within(numbers, 1, LARGEST):
        yield Fault(name, f"1 to {LARGEST}")
    if name in NOT_NEGATIVE and not _within(numbers, 0, LARGEST):
        yield Fault(name, f"0 to {LARGEST}")
    if name == "pads" and not _within(numbers, -LARGEST, LARGEST):
        yield Fault(name, f"-{LARGEST} to {LARGEST}")
    if name in AXES and not _within(numbers, -MOST_AXES, MOST_AXES):
        yield Fault(name, "an axis of the input")
    if name == "perm" and sorted(numbers) != list(range(len(numbers))):
        yield Fault(name, f"each of 0 to {len(numbers) - 1} once")
    if name == "to" and (numbers == [TensorProto.UNDEFINED] or not set(numbers) <= set(TensorProto.DataType.values())):
        yield Fault(name, f"an element type of ONNX, 1 to {max(TensorProto.DataType.values())}")
    if isinstance(value, bytes):
        words = PADDINGS if name == "auto_pad" else WORDS.get((node.op_type, name))
        if (node.op_type, name) == ("Einsum", "equation") and EQUATION.fullmatch(value) is None:
            yield Fault(
                name, "terms of letters, spaces and one ... at most, with commas between them, and perhaps -> term"
            )
        if words is not None and value.decode(errors="replace") not in words:
            yield Fault(name, ", ".join(sorted(words)))


def _within(numbers: Iterable[int], low: int, high: int) -> bool:
    return all(low <= number <= high for number in numbers)


# ------------------------------------------------------------------ against shapes


def _of_shapes(node: NodeProto, given: Mapping[str, Any], values: Values) -> Iterator[Fault]:
    sizes = _sizes(values, node.input[0]) if node.input else None
    if sizes is not None:
        yield from _of_axes(node, given, len(sizes))
        yield from _of_split(node, given, sizes)
    if sizes is not None and node.op_type in SLIDING and len(sizes) > 2:
        yield from _of_windows(given, len(sizes) - 2)
    if node.op_type in {"Conv", "ConvTranspose"} and given.get("group", 1) != 1:
        yield from _of_groups(node, given["group"], sizes, _sizes(values, node.input[1]))
    if node.op_type in RECURRENT and "hidden_size" in given:
        recurrence = _sizes(values, node.input[2])
        if recurrence and recurrence[-1] not in {0, given["hidden_size"]}:
            yield Fault("hidden_size", f"{recurrence[-1]}, by the shape {recurrence} of the recurrence weights")
    channels = sizes[1] if sizes is not None and len(sizes) > 1 else 0
    if node.op_type == "GroupNormalization" and channels % given.get("num_groups", 1):
        yield Fault("num_groups", f"a divisor of the {channels} channels")


def _sizes(values: Values, name: str) -> list[int] | None:
    """Of a value, 0 where one is open; None where not even the rank is known."""
    known = values.get(name)
    if known is None or not known.type.tensor_type.HasField("shape"):
        return None
    return [dimension.dim_value for dimension in known.type.tensor_type.shape.dim]


def _of_axes(node: NodeProto, given: Mapping[str, Any], rank: int) -> Iterator[Fault]:
    allowed = f"{-rank} to {rank - 1}, as the input has {rank} axes"
    last = rank if node.op_type in BEHIND_LAST else rank - 1
    if node.op_type in ALONG_INPUT and not _within([given.get("axis", last)], -rank, last):
        yield Fault("axis", allowed)
    along_input = node.op_type.startswith("Reduce") or node.op_type in {"Squeeze", "Slice"}
    if along_input and not _within(given.get("axes", ()), -rank, rank - 1):
        yield Fault("axes", allowed)
    if node.op_type == "Transpose" and "perm" in given and len(given["perm"]) != rank:
        yield Fault("perm", f"{rank} numbers, as the input has {rank} axes")


def _of_split(node: NodeProto, given: Mapping[str, Any], sizes: Sequence[int]) -> Iterator[Fault]:
    if node.op_type == "Split" and "split" in given and sizes:
        along = sizes[given.get("axis", 0)]
        if along and sum(given["split"]) != along:
            yield Fault("split", f"sizes that add up to {along}")


def _of_windows(given: Mapping[str, Any], spatial: int) -> Iterator[Fault]:
    for name, count in (("kernel_shape", spatial), ("strides", spatial), ("dilations", spatial), ("pads", 2 * spatial)):
        if name in given and len(given[name]) != count:
            yield Fault(name, f"{count} numbers, as the input has {spatial} spatial axes")


def _of_groups(
    node: NodeProto, group: int, sizes: Sequence[int] | None, weight: Sequence[int] | None
) -> Iterator[Fault]:
    """Weights of Conv are [out, in / group, ..], of ConvTranspose [in, out / group, ..]."""
    channels = sizes[1] if sizes is not None and len(sizes) > 1 else 0
    divided = [channels, *(() if weight is None else weight[:1])]
    if any(each % group for each in divided):
        yield Fault("group", f"a divisor of the channels: {' and '.join(str(each) for each in divided if each)}")
    elif (
        node.op_type == "Conv" and channels and weight is not None and len(weight) > 1 and weight[1] * group != channels
    ):
        yield Fault(
            "group", f"{channels // max(weight[1], 1)}, by {channels} channels and weights of shape {list(weight)}"
        )
