"""CheckedModel -> DifferentiableModel, the stages in order.

The weights are tensors that operators read from slots, never copies inside modules: a weight keeps its layout and its
name, is one parameter however often it is used, and gets its gradient also through a Transpose, a Concat or a Loop
body. Whatever depends on constants alone is computed here, once.
"""

from collections.abc import Iterable
from functools import partial

import torch

from analysis.convert.builder import Builder
from analysis.convert.definitions import Scope
from analysis.convert.module import DifferentiableModel
from analysis.convert.registry import RunMode
from analysis.convert.scopes import type_in
from analysis.convert.tensors import TrainableWeights
from analysis.convert.unsupported import refuse_unsupported
from analysis.graph.survey import Survey, survey
from analysis.model import CheckedModel
from analysis.model.domains import check_against_shapes


def convert(
    model: CheckedModel,
    *,
    train: Iterable[str] = (),
    freeze: Iterable[str] = (),
    precision: torch.dtype = torch.float32,
) -> DifferentiableModel:
    """Build the module; `precision` takes the place of float32 and less (float64 for a second opinion).

    As in torch, the running statistics of its BatchNormalization move in `.train()`; in an analysis they do not.

    Raises UnsupportedOp naming every node without a conversion, NeverSupported, BadOptions (train, freeze).
    """
    return translate(read_graph(model, train=train, freeze=freeze), precision).move_statistics()


def read_graph(model: CheckedModel, *, train: Iterable[str] = (), freeze: Iterable[str] = ()) -> Survey:
    """Survey a graph with torch's own list of operators at hand. Raises BadOptions (train, freeze)."""
    return survey(model, train=train, freeze=freeze, is_operator=partial(hasattr, torch.ops.aten))


def translate(read: Survey, precision: torch.dtype = torch.float32) -> DifferentiableModel:
    """Build the module of a graph that was read. Raises as `convert` does, but for options."""
    model = read.model
    weights = TrainableWeights(model, read.roles.trainable, precision)
    scope = Scope({entry.domain: entry.version for entry in model.proto.opset_import}, partial(type_in, model))
    builder = Builder(model, weights, precision, RunMode(), scope)
    refuse_unsupported(model, scope)
    check_against_shapes(model.nodes, model.values)
    program = builder.build()
    return DifferentiableModel(builder, program, weights, read.roles.frozen, read.layers)
