"""Everything that is read of a graph before it runs, read once and handed on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from analysis.facts import Layer
from analysis.graph.attention import AttentionSite, find_attention
from analysis.graph.biases import find_biases
from analysis.graph.layers import find_layers
from analysis.graph.roles import Roles, assign_roles
from analysis.graph.sources import Sources, find_sources
from analysis.graph.unrolled import Unrolled, find_unrolled
from analysis.model import CheckedModel


@dataclass(frozen=True, eq=False)
class Survey:
    """A graph that was read."""

    model: CheckedModel
    sources: Sources
    roles: Roles
    layers: tuple[Layer, ...]
    """In topological order; which of them lie on the trunk is not known before the loss is."""
    attention: tuple[AttentionSite, ...]
    unrolled: Unrolled | None = None
    """A recurrent cell that was written out step by step."""


def survey(
    model: CheckedModel,
    *,
    train: Iterable[str] = (),
    freeze: Iterable[str] = (),
    is_operator: Callable[[str], bool],
) -> Survey:
    """Read a graph. Raises BadOptions (train, freeze).

    `is_operator`: whether a name is one of torch's operators, whose results its exporter names so.
    """
    sources = find_sources(model)
    biases = find_biases(model, sources)
    roles = assign_roles(model, sources, biases, train, freeze, is_operator=is_operator)
    layers = find_layers(model, sources, biases, frozenset(roles.trainable))
    attention = find_attention(model, sources)
    return Survey(model, sources, roles, layers, attention, find_unrolled(model, sources))
