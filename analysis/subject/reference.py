"""onnxruntime on the same batch: the uploaded bytes, node by node, as the graph is written.

Its optimiser reorders quantised graphs into others, two percent away. What a graph leaves to chance is settled first:
Dropout that trains is switched off, as it is in measurement, and the numbers a graph draws become stored ones, those
that torch drew; no two generators agree.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from analysis.model import CheckedModel
from analysis.model.nodes import all_nodes, bodies, captures
from analysis.model.onnx_tools import assemble_proto
from analysis.model.weights import Array
from analysis.subject.unsaturated import unsaturated

NAME: Final = f"onnxruntime {onnxruntime.__version__}"
CONTRADICTION: Final = "[ShapeInferenceError]"
LOG_FATAL: Final = 4
DRAWING: Final = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
LARGE: Final = 1 << 20
"""Bytes of a weight that is handed over as it lies in memory."""
NATIVE: Final = frozenset(map(np.dtype, ("float32", "float64", "float16", "int64", "int32", "int8", "uint8")))
NOTHING: Final[Mapping[str, Array]] = MappingProxyType({})
MODE_SLOT: Final = 2
"""Where Dropout is told that it trains."""


def drawn_names(model: CheckedModel) -> list[str]:
    """Values of the main graph that are random numbers."""
    return [node.output[0] for node in model.nodes if node.op_type in DRAWING]


def asks_for_dropout(nodes: Iterable[NodeProto]) -> bool:
    """Whether some Dropout among these nodes is told that it trains."""
    return any(map(_trains, nodes))


def draws_inside(model: CheckedModel) -> bool:
    """Whether the body of an If, a Loop or a Scan draws numbers, which nobody outside can hold fast."""
    inside = (node for outer in model.nodes for body in bodies(outer) for node in all_nodes(body.node))
    return any(node.op_type in DRAWING for node in inside)


def compute(
    model: CheckedModel, inputs: Mapping[str, Array], drawn: Mapping[str, Array], extra: Sequence[str] = ()
) -> dict[str, Array]:
    """Outputs of the graph, and intermediate values asked for; `drawn`: what its random numbers are.

    Raises whatever onnxruntime raises.
    """
    model = unsaturated(model)
    uploaded = model.source or model.original
    if extra or drawn or uploaded is None or asks_for_dropout(all_nodes(model.nodes)):
        return _run_edited(model, extra, drawn, inputs)
    try:
        return _run(_unedited(uploaded, model), model, inputs)
    except Exception:
        if model.original is None:
            raise
        return _run_edited(model, (), {}, inputs)  # it refuses a category that it does not know, say


def contradiction(model: CheckedModel) -> str:
    """Why onnxruntime does not even load a graph whose shapes contradict each other; empty where it does."""
    uploaded = model.source or model.original
    source, apart = _edited(model, (), {}) if uploaded is None else (_unedited(uploaded, model), NOTHING)
    try:
        _session(source, model, apart)
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no public base class
        reason = " ".join(str(error).split())
        return reason[reason.index(CONTRADICTION) + len(CONTRADICTION) :].strip() if CONTRADICTION in reason else ""
    return ""


def _run(
    source: bytes | str, model: CheckedModel, inputs: Mapping[str, Array], apart: Mapping[str, Array] = NOTHING
) -> dict[str, Array]:
    """Outputs by name; `apart`: large weights that are not in the source."""
    session = _session(source, model, apart)
    names = [output.name for output in session.get_outputs()]
    values = [_columns(value) for value in session.run(names, dict(inputs))]
    named = dict(zip(names, values, strict=True))
    return {name: value for name, value in parts(named) if isinstance(value, np.ndarray)}


def _session(
    source: bytes | str, model: CheckedModel, apart: Mapping[str, Array] = NOTHING
) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = LOG_FATAL
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    if model.data_files:
        names, contents = list(model.data_files), list(model.data_files.values())
        settings.add_external_initializers_from_files_in_memory(names, contents, [len(each) for each in contents])
    if apart:
        settings.add_external_initializers(
            list(apart), list(map(onnxruntime.OrtValue.ortvalue_from_numpy, apart.values()))
        )
    return onnxruntime.InferenceSession(source, settings, providers=["CPUExecutionProvider"])


def parts(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Values by name, those of a sequence under names of their own."""
    for name, value in values.items():
        if isinstance(value, list | tuple):
            yield from ((f"{name}[{place}]", each) for place, each in enumerate(value))
        else:
            yield name, value


def _unedited(uploaded: bytes | Path, model: CheckedModel) -> bytes | str:
    """What was uploaded, for onnxruntime: no path where there are data files, or it might look beside it."""
    if isinstance(uploaded, bytes):
        return uploaded
    return uploaded.read_bytes() if model.data_files else str(uploaded)


def _columns(value: Any) -> Any:
    """Maps from labels to scores, one a sample, as a tensor [N, labels] in the order of the labels."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return np.array([list(dict(sorted(each.items())).values()) for each in value])
    return value


def _run_edited(
    model: CheckedModel, extra: Iterable[str], drawn: Mapping[str, Array], inputs: Mapping[str, Array]
) -> dict[str, Array]:
    source, apart = _edited(model, extra, drawn)
    return _run(source, model, inputs, apart)


def _edited(model: CheckedModel, extra: Iterable[str], drawn: Mapping[str, Array]) -> tuple[bytes, Mapping[str, Array]]:
    """The model with more of its values as outputs, Dropout off, and these values in place of the nodes that drew.

    Large weights of a graph that is no longer what was uploaded come apart, as they lie in memory.
    """
    proto, apart = _whole(model)
    if drawn and proto.functions:
        proto, apart = _assembled(model)
    for node in all_nodes([*proto.graph.node, *(node for function in proto.functions for node in function.node)]):
        if _trains(node):
            del node.input[MODE_SLOT:]
    if drawn:
        kept = [node for node in proto.graph.node if drawn.keys().isdisjoint(node.output)]
        del proto.graph.node[:]
        proto.graph.node.extend(kept)
        proto.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in drawn.items())
    present = {value.name for value in proto.graph.output}
    proto.graph.output.extend(ValueInfoProto(name=name) for name in extra if name not in present)
    return proto.SerializeToString(), apart


def _whole(model: CheckedModel) -> tuple[ModelProto, Mapping[str, Array]]:
    if model.source is None:
        return _assembled(model)
    source = model.source if isinstance(model.source, bytes) else model.source.read_bytes()
    return ModelProto.FromString(source), NOTHING


def _assembled(model: CheckedModel) -> tuple[ModelProto, Mapping[str, Array]]:
    """The graph with its small tensors inside, and its large ones: what is copied into a message is copied thrice.

    Those that nothing reads, as where others took their place, stay away: onnxruntime drops them before it is handed
    their contents, and refuses these.
    """
    read = {output.name for output in model.proto.graph.output}
    read.update(*(captures(node).union(node.input) for node in model.nodes))
    weights = {name: array for name, array in model.weights.items() if name in read}
    apart = {
        name: np.require(array, requirements=("C", "A"))
        for name, array in weights.items()
        if array.nbytes >= LARGE and array.dtype in NATIVE
    }
    proto = assemble_proto(model.proto, {name: array for name, array in weights.items() if name not in apart})
    for name, array in apart.items():
        element = helper.np_dtype_to_tensor_dtype(array.dtype)
        declared = proto.graph.initializer.add(name=name, data_type=element, dims=array.shape)
        declared.data_location = TensorProto.EXTERNAL
        declared.external_data.add(key="location", value="memory")  # no name, which may look like a path
    return proto, apart


def _trains(node: NodeProto) -> bool:
    return node.op_type == "Dropout" and len(node.input) > MODE_SLOT and bool(node.input[MODE_SLOT])
