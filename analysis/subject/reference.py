"""onnxruntime on the same batch: the uploaded bytes, node by node, as the graph is written.

Its optimiser reorders quantised graphs into others, two percent away. What a graph leaves to chance is settled first:
Dropout that trains is switched off, as it is in measurement, and the numbers a graph draws become stored ones, those
that torch drew; no two generators agree.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, ValueInfoProto, numpy_helper

from analysis.model import CheckedModel
from analysis.model.nodes import all_nodes, bodies
from analysis.model.onnx_tools import assemble_proto
from analysis.model.weights import Array
from analysis.subject.unsaturated import unsaturated

NAME: Final = f"onnxruntime {onnxruntime.__version__}"
CONTRADICTION: Final = "[ShapeInferenceError]"
LOG_FATAL: Final = 4
DRAWING: Final = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
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
        return _run(_edited(model, extra, drawn), model, inputs)
    try:
        return _run(_unedited(uploaded, model), model, inputs)
    except Exception:
        if model.original is None:
            raise
        return _run(_edited(model, (), {}), model, inputs)  # it refuses a category that it does not know, say


def contradiction(model: CheckedModel) -> str:
    """Why onnxruntime does not even load a graph whose shapes contradict each other; empty where it does."""
    uploaded = model.source or model.original
    source = _edited(model, (), {}) if uploaded is None else _unedited(uploaded, model)
    try:
        _session(source, model)
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no public base class
        reason = " ".join(str(error).split())
        return reason[reason.index(CONTRADICTION) + len(CONTRADICTION) :].strip() if CONTRADICTION in reason else ""
    return ""


def _run(source: bytes | str, model: CheckedModel, inputs: Mapping[str, Array]) -> dict[str, Array]:
    session = _session(source, model)
    names = [output.name for output in session.get_outputs()]
    values = [_columns(value) for value in session.run(names, dict(inputs))]
    named = dict(zip(names, values, strict=True))
    return {name: value for name, value in parts(named) if isinstance(value, np.ndarray)}


def _session(source: bytes | str, model: CheckedModel) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = LOG_FATAL
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    if model.data_files:
        names, contents = list(model.data_files), list(model.data_files.values())
        settings.add_external_initializers_from_files_in_memory(names, contents, [len(each) for each in contents])
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


def _edited(model: CheckedModel, extra: Iterable[str], drawn: Mapping[str, Array]) -> bytes:
    """The model with more of its values as outputs, Dropout off, and these values in place of the nodes that drew."""
    proto = _whole(model)
    if drawn and proto.functions:
        proto = assemble_proto(model.proto, model.weights)
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
    return proto.SerializeToString()


def _whole(model: CheckedModel) -> ModelProto:
    if model.source is None:
        return assemble_proto(model.proto, model.weights)
    return ModelProto.FromString(model.source if isinstance(model.source, bytes) else model.source.read_bytes())


def _trains(node: NodeProto) -> bool:
    return node.op_type == "Dropout" and len(node.input) > MODE_SLOT and bool(node.input[MODE_SLOT])
