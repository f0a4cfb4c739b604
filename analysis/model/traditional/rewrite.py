"""A graph with operators of ai.onnx.ml -> the same with operators of the standard.

What scikit-learn's and other exporters write keeps its weights in the attributes of nodes. Here they become
initialisers, so that all that reads, trains and treats a graph needs to know the standard only. Coefficients and
intercepts of linear models train; what was read off the data (offsets, scales, imputed values, support vectors) does
not. Trees and strings stay as they are, to be refused by name.

Source: https://onnx.ai/onnx/operators/index.html#ai-onnx-ml, and onnxruntime where the pages are silent.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

from analysis.errors import InvalidModel
from analysis.model.nodes import STANDARD_DOMAINS, all_nodes, bodies, label
from analysis.model.traditional import linear, preprocessing, support_vectors, tables
from analysis.model.traditional.tail import drop_strings, keeps_order, unzip_maps
from analysis.model.traditional.writer import DOMAIN, REWRITINGS, NotRewritten, Types, Writer, names_of

FAMILIES: Final = (linear, preprocessing, support_vectors, tables)
OLDEST: Final = 9
"""The opset from which the standard has all that is written here."""
PREFERRED: Final = 17
"""The opset of a graph that has no node of the standard."""


@dataclass(slots=True)
class Rewritten:
    """What became of a graph."""

    fixed: dict[str, str] = field(default_factory=dict)
    """Tensors that do not train -> why."""
    notes: list[str] = field(default_factory=list)
    """What was left out, for the report."""
    any: bool = False
    """Whether something changed."""
    comparable: bool = True
    """Whether outputs of the file under names that are left are the same numbers in the same order."""


def rewrite_traditional(proto: ModelProto) -> Rewritten:
    """Rewrite the nodes of a graph and of the bodies in it, in place; outputs that are names go, whoever made them.

    What they hold becomes tensors of the main graph, which bodies see. Raises InvalidModel where attributes contradict
    each other.
    """
    done = Rewritten()
    traditional = any(node.domain == DOMAIN for node in all_nodes(proto.graph.node))
    opset = _standard_opset(proto) if traditional else PREFERRED
    if opset < OLDEST:
        return done
    done.comparable = keeps_order(proto.graph)
    done.notes += [*unzip_maps(proto.graph), *drop_strings(proto.graph)]
    done.any = bool(done.notes)
    if not traditional:
        return done
    stage = _Stage(opset, Types(_declared(proto.graph), proto.graph.initializer), _names(proto.graph), done)
    proto.graph.initializer.extend(stage.rewrite(proto.graph))
    done.any = done.any or bool(done.notes)
    return done


@dataclass(slots=True)
class _Stage:
    """One pass over a graph and its bodies."""

    opset: int
    types: Types
    taken: set[str]
    done: Rewritten

    def rewrite(self, graph: GraphProto) -> list[TensorProto]:
        """Write the nodes anew; the tensors that are now needed."""
        nodes: list[NodeProto] = []
        tensors: list[TensorProto] = []
        for node in graph.node:
            for body in bodies(node):
                tensors += self.rewrite(body)
            writer = _written(node, self.types, self.opset, self.taken)
            nodes += [node] if writer is None else writer.nodes
            if writer is not None:
                tensors += writer.tensors
                self.done.fixed |= writer.fixed
                self.done.any = True
            elif node.op_type == "Cast":
                self.types.note(node.output[0], next(each.i for each in node.attribute if each.name == "to"))
        del graph.node[:]
        graph.node.extend(nodes)
        return tensors


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and the bodies in it."""
    yield graph
    for node in all_nodes(graph.node):
        yield from bodies(node)


def _declared(graph: GraphProto) -> Iterator[ValueInfoProto]:
    for each in _graphs(graph):
        yield from (*each.input, *each.value_info)


def _names(graph: GraphProto) -> set[str]:
    return set().union(*map(names_of, _graphs(graph)))


def _written(node: NodeProto, types: Types, opset: int, taken: set[str]) -> Writer | None:
    """What stands for a node; None where it stays."""
    rewrite = REWRITINGS.get(node.op_type) if node.domain == DOMAIN else None
    if rewrite is None:
        return None
    writer = Writer(node, types, opset, taken)
    try:
        rewrite(writer)
    except NotRewritten:
        return None
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise InvalidModel(f"attributes of {node.op_type} do not fit: {error}", where=label(node)) from error
    return writer


def _standard_opset(proto: ModelProto) -> int:
    """The standard's version in this graph; where no node is of it, one is imported."""
    imported = next((entry for entry in proto.opset_import if entry.domain in STANDARD_DOMAINS), None)
    if any(node.domain in STANDARD_DOMAINS for node in all_nodes(proto.graph.node)):
        return imported.version if imported else 1
    if imported is None:
        proto.opset_import.append(helper.make_opsetid("", PREFERRED))
        return PREFERRED
    imported.version = max(imported.version, PREFERRED)
    return int(imported.version)
