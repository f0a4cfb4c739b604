"""The nodes of graphs and functions in topological order."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush

from onnx import FunctionProto, GraphProto

from analysis.errors import InvalidModel
from analysis.model.nodes import bodies, captures, label


def sort_nodes(graph: GraphProto | FunctionProto) -> None:
    """Put the nodes of a graph or function, and of the bodies in it, into topological order, where a file does not.

    Of two nodes that may come next, that which came first in the file does.
    """
    for node in graph.node:
        for body in bodies(node):
            sort_nodes(body)
    nodes = list(graph.node)
    producers: dict[str, int] = {}
    for place, node in enumerate(nodes):
        for output in node.output:
            producers.setdefault(output, place)
    producers.pop("", None)
    reads = [{producers[name] for name in {*node.input, *captures(node)} & producers.keys()} for node in nodes]
    if all(max(before, default=-1) < place for place, before in enumerate(reads)):
        return
    order = _order(reads)
    if len(order) < len(nodes):
        node = nodes[_on_a_cycle(reads, set(order))]
        raise InvalidModel("the graph has a cycle: a node waits for its own output", where=label(node))
    del graph.node[:]
    graph.node.extend(nodes[place] for place in order)


def _order(reads: Sequence[AbstractSet[int]]) -> list[int]:
    """Places so that each comes behind those it reads from; what waits for itself is left out."""
    readers: list[list[int]] = [[] for _ in reads]
    for place, before in enumerate(reads):
        for source in before:
            readers[source].append(place)
    waiting = [len(before) for before in reads]
    ready, order = [place for place, count in enumerate(waiting) if not count], []
    while ready:
        order.append(heappop(ready))
        for place in readers[order[-1]]:
            waiting[place] -= 1
            if not waiting[place]:
                heappush(ready, place)
    return order


def _on_a_cycle(reads: Sequence[AbstractSet[int]], done: AbstractSet[int]) -> int:
    """A place that reads, by way of others, from itself: every place that is not done has one before it."""
    seen: set[int] = set()
    place = next(place for place in range(len(reads)) if place not in done)
    while place not in seen:
        seen.add(place)
        place = min(reads[place] - done)
    return place
