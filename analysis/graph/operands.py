"""What an operand is instead of a parameter: literals, masks, positions, frozen statistics.

Place and provenance decide, never values. A literal is what the file holds as a Constant node, or under a name that
exporters give to tensors made on the spot (zeros, full_like_1, Constant_output_0). Operands of plain arithmetic are
weak: they are parameters unless something speaks against it. Of a single number, and of operators that rarely hold a
parameter (Sub, Div, Pow, Where, Max, Min, Scatter, GridSample), the name has to speak for it: a module path, as
frameworks name theirs; or, for a number, its place (`analysis.graph.numbers`).

    q k' -- Add (c) -- Softmax        c is a mask, unless it is a table with a row for each head, or is looked up
    x ----- Add (c) -- MatMul         c is a parameter: positions that are learnt
    input - Sub (c) -- Div (d) -- ..  c and d prepare the input, as they would outside the graph
    x ----- Sub (c) -- Div (sqrt(v + e)) -- Mul (g) -- Add (b)
                                      c and v are statistics of a normalisation that was written out; g and b train
    x [N, 1, D] -- Sub (c [P, D]) -- Pow (2) -- ReduceSum
                                      c are P places that distances are measured to: prototypes, centres of a kernel
"""

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final

import numpy as np
from onnx import NodeProto

from analysis.graph.biases import Biases
from analysis.graph.families import LOOKUPS, PASSING, walk_back
from analysis.graph.numbers import PLAIN_NAME, trains_by_place
from analysis.graph.prototypes import is_summed_as_distance, several_of_each
from analysis.graph.slots import NO_FLOATS_OUT, data_inputs
from analysis.graph.sources import Sources, Use
from analysis.model import CheckedModel
from analysis.model.nodes import captures

WEAK: Final = frozenset({"offset", "token", "exponent"})  # and the scale of a Mul or a Div
CAUTIOUS: Final = frozenset(
    {"Sub", "Div", "Pow", "Where", "Max", "Min", "Loop", "ScatterND", "ScatterElements", "Scatter", "GridSample"}
)
MATRICES: Final = frozenset({"weight", "recurrent_weight"})
CARRYING: Final = MATRICES | {"embedding"}
"""Roles whose operator writes a signal whatever else it reads."""
SKLEARN: Final = "skl2onnx"
"""What scikit-learn's exporter calls itself."""
ARITHMETIC: Final = frozenset({"Sub", "Div", "Mul", "Add"})
SHORTEST_ROW: Final = 8
EVEN: Final = 1e-3
"""How far steps may differ, over the first of them."""
MASK_REACH: Final = 3  # nodes between adding a mask and the Softmax
_CREATED: Final = "zeros|ones|full|empty|zeros_like|ones_like|full_like|arange|eye|linspace|scalar_tensor|lifted_tensor"
LITERAL: Final = re.compile(
    rf"Constant(_\d+)?_output_\d+$|^p2o\.pd_op\.(full|assign_value|arange)|^helper\.constant\.|(^|[./_])({_CREATED})(_default)?(_?\d+)*$"
)
"""Names that exporters give to tensors which are no parameter of any module."""
MADE_UP: Final = re.compile(r"^(onnx::|p2o\.|/|val_\d+$)|_output_\d+$|_(default|cast)(_\d+)?$")
"""Names that exporters give to what they computed, perhaps from parameters."""
STATES: Final = frozenset({"initial_state", "initial_cell"})
"""Made up more often than learnt."""
MODULE_PATH: Final = re.compile(r"^([A-Za-z_]\w*(\.\w+)+|\d+(\.\w+)*\.[A-Za-z_]\w*)$")
"""A Sequential counts its children: `3.alpha`."""


class Operands:
    """Judges the uses of a model's initialisers."""

    def __init__(
        self, model: CheckedModel, sources: Sources, biases: Biases, is_operator: Callable[[str], bool]
    ) -> None:
        """Nothing is computed before it is asked for.

        `is_operator`: whether a name is one of torch's operators, whose results its exporter names so.
        """
        self.model = model
        self.sources = sources
        self.biases = biases
        self.is_operator = is_operator

    def why(self, name: str, use: Use) -> str:
        """Why an initialiser is no parameter in a role, or empty."""
        if _is_group_norm_dummy(self.model, use.node):
            return "placeholder of a GroupNormalization written as InstanceNormalization"
        if self.model.signature is not None and self.model.signature.trains(name):
            return ""
        if self._is_row(name):
            return "evenly spaced numbers: places, not weights"
        if self._is_literal(name, use):
            return f"a literal in {use.node.op_type}, written beside the weights"
        return "" if self._measures_distances(use) else self._why_no_parameter(name, use)

    def _why_no_parameter(self, name: str, use: Use) -> str:
        weak = self._is_weak(use)
        reason = ""
        if self.model.weights[name].ndim == 0 or (weak and self.model.weights[name].size == 1):
            reason = self._why_no_number(name, use)
        elif use.node.op_type in CAUTIOUS and not self._is_named(name):
            reason = f"constant operand of {use.node.op_type}"
        elif weak:
            reason = self._why_no_operand(use)
        return reason or ("preprocessing of the input" if weak and self._prepares(use) else "")

    def _why_no_number(self, name: str, use: Use) -> str:
        """Why a single number is none; the fill of a mask may be a named buffer, such as GPT-2's masked_bias."""
        if use.role == "token" and reaches_softmax(self.model, use.node):
            return "what a mask leaves of attention scores"
        return "" if self._is_named(name) or self._is_placed(name, use) else f"single number in {use.node.op_type}"

    def _is_weak(self, use: Use) -> bool:
        weak = use.role in WEAK or use.node.op_type in {"Mul", "Div"}
        return weak and id(use.node) not in self.biases

    def _why_no_operand(self, use: Use) -> str:
        """What an operand of plain arithmetic is instead of a weight."""
        if use.role in {"offset", "token"} and reaches_softmax(self.model, use.node):
            return "" if self._is_score_table(use) else "added to attention scores: a mask or a fixed position bias"
        if use.node.op_type == "Mul" and _is_rotary(self.model, use.node):
            return "cosine or sine of rotary positions"
        if self._holds_deviation(use.value):
            return "part of a frozen batch normalisation"
        if use.node is use.owner and not self._meets_signal(use):
            return "combined with positions or masks, not with data"
        return ""

    # -------------------------------------------------------------- provenance

    @cached_property
    def _keeps_weights_apart(self) -> bool:
        """Whether the matrices of this file are initialisers with names of their own."""
        return any(use.role in CARRYING and not self._looks_literal(use.initializer) for use in self.sources.uses)

    def _looks_literal(self, name: str) -> bool:
        computed = MADE_UP.search(name) is not None
        return LITERAL.search(name) is not None or (name in self.model.constants and not computed)

    def _is_literal(self, name: str, use: Use) -> bool:
        made_up = self._looks_literal(name) or (use.role in STATES and MADE_UP.search(name) is not None)
        alone = use.role in MATRICES and len(self.sources.of.get(use.value, ())) == 1
        return made_up and not alone and self._keeps_weights_apart

    def _is_row(self, name: str) -> bool:
        """Whether a vector counts: whole numbers in a row, or evenly spaced ones that no framework would name so.

        softmax over 16 bins -- Conv (0, 1, .. 15)     the mean bin, as heads of detectors take it: nothing trains there
        x -- Unsqueeze -- Sub (mu = 0, .05, .. 5)      centres may begin evenly spaced, and train
        """
        places = self.model.weights[name]
        if places.size < SHORTEST_ROW or max(places.shape) < places.size or not np.isfinite(places).all():
            return False
        steps = np.diff(places.reshape(-1).astype(np.float64))
        even = steps[0] != 0 and bool(np.allclose(steps, steps[0], rtol=EVEN, atol=0))
        return even and (abs(steps[0]) == 1 or not self._is_named(name))

    def _is_named(self, name: str) -> bool:
        """Whether a framework would give this name to a parameter."""
        quantized = name.endswith("_scale") and f"{name.removesuffix('scale')}zero_point" in self.model.weights
        if self._looks_literal(name) or MADE_UP.search(name) or quantized:
            return False
        if MODULE_PATH.match(name) or "ReadVariableOp" in name:
            return True
        made = re.sub(r"_\d+$", "", name)
        from_torch = self.model.proto.producer_name == "pytorch" and PLAIN_NAME.match(name) is not None
        return from_torch and not self.is_operator(made)

    # -------------------------------------------------------------- place

    def _measures_distances(self, use: Use) -> bool:
        """Whether a difference to each of several places is summed up, whatever its sign: one place is a statistic."""
        several = use.node.op_type == "Sub" and several_of_each(self.model, use, self._other(use))
        return several and is_summed_as_distance(self.model, use.node)

    def _is_placed(self, name: str, use: Use) -> bool:
        """Whether a single number trains by its place; torch names its parameters, so there the name decides."""
        made_up = self._looks_literal(name) or MADE_UP.search(name) is not None
        from_torch = self.model.proto.producer_name == "pytorch"
        return not made_up and not from_torch and trains_by_place(self.model, self.sources, name, use)

    def _is_score_table(self, use: Use) -> bool:
        """A table cut or looked up by relative position, or one for each head; a mask is the same for all heads."""
        if _looked_up(self.model, use.value):
            return True
        shape = self.model.shape(use.value) or self.model.weights[use.initializer].shape
        scores = self.model.shape(use.node.output[0]) or ()
        ranked = max(len(shape), len(scores)) > 3
        return ranked and len(shape) > 2 and shape[-3] > 1 and shape[-2] > 1

    def _expression(self, value: str) -> Iterator[NodeProto]:
        """The nodes of the main graph that compute a weight expression."""
        pending, seen = [value], set[int]()
        while pending:
            node = self.model.producers.get(pending.pop())
            if node is not None and id(node) not in seen:
                seen.add(id(node))
                yield node
                pending.extend(filter(None, node.input))

    def _holds_deviation(self, value: str) -> bool:
        """Whether a variance kept in the file, not one computed from a weight, scales an expression."""
        if len(self.sources.of.get(value, ())) < 2:
            return False
        operators = {node.op_type for node in self._expression(value)}
        return bool(operators & {"Sqrt", "Rsqrt"}) and not any(name.startswith("Reduce") for name in operators)

    def _prepares(self, use: Use) -> bool:
        """Whether an operand makes features ready, as could be done outside the graph.

        x -- Div (255) -- Sub (mean) -- Div (deviation) -- Conv   standardised, each feature or all alike
        x -- Unsqueeze -- Sub (centres [K, F]) -- Pow -- ..       K values of one: these are prototypes, and train
        x -- Mul (1 / range) -- Add (minimum)                     MinMaxScaler of scikit-learn, which has no layers that
        x -- Add (1) -- Log -- Mul (0 or 1) -- Add -- MatMul      scale: all before the first matrix
        """
        if self.model.proto.producer_name == SKLEARN:
            prepares = use.node.op_type in {"Sub", "Div", "Mul", "Add"}
            return prepares and self._other(use) not in self._behind_matrices
        prepares = use.node.op_type in {"Sub", "Div"}
        other = self._other(use)
        return prepares and other in self._prepared and not several_of_each(self.model, use, other)

    @cached_property
    def _prepared(self) -> frozenset[str]:
        """Inputs of the model, at most cast, laid out anew, or with constants taken off them and dividing them."""
        found = {spec.name for spec in self.model.inputs}
        for node in self.model.nodes:
            read = [name for name in node.input if name]
            if node.op_type in PASSING:
                known = found.intersection(read[:1])
            else:
                others = set(read) - found
                beside = bool(others) and others <= self.sources.of.keys()
                plain = node.op_type in {"Sub", "Div"} or all(map(self._looks_literal, others))
                known = found.intersection(read) if node.op_type in ARITHMETIC and beside and plain else set()
            if known:
                found.update(node.output[:1])
        return frozenset(found)

    @cached_property
    def _behind_matrices(self) -> frozenset[str]:
        """Values that descend from a layer."""
        carrying = {id(use.owner) for use in self.sources.uses if use.role in MATRICES}
        found: set[str] = set()
        for node in self.model.nodes:
            if id(node) in carrying or not found.isdisjoint([*node.input, *captures(node)]):
                found.update(filter(None, node.output))
        return frozenset(found)

    def _other(self, use: Use) -> str:
        return next((name for name in use.node.input if name and name not in self.sources.of), "")

    def _meets_signal(self, use: Use) -> bool:
        others = [name for name in data_inputs(use.node) if name and name not in self.sources.of]
        return not others or any(name in self._signal for name in others)

    @cached_property
    def _signal(self) -> frozenset[str]:
        """Values that descend from floating-point inputs or from a matrix: not from positions, masks or sizes alone."""
        carrying = {id(use.owner) for use in self.sources.uses if use.role in CARRYING or use.node is not use.owner}
        carrying |= {id(node) for node in self.model.nodes if node.op_type in LOOKUPS and self._reads_table(node)}
        found = {spec.name for spec in self.model.inputs if self.model.is_float(spec.name)}
        for node in self.model.nodes:
            if node.op_type in NO_FLOATS_OUT:
                continue
            if id(node) in carrying or not found.isdisjoint([*data_inputs(node), *captures(node)]):
                found.update(node.output)
        return frozenset(found)

    def _reads_table(self, node: NodeProto) -> bool:
        """A lookup in an embedding that is quantised has no use of floats, but a signal all the same."""
        return node.input[0] in self.model.weights and self.model.weights[node.input[0]].ndim > 1


def reaches_softmax(model: CheckedModel, node: NodeProto) -> bool:
    """Whether a Softmax is taken of what a node writes, a few nodes of arithmetic between."""
    for _ in range(MASK_REACH):
        followers = [use.node for output in node.output for use in model.consumers.get(output, ())]
        if any(follower.op_type == "Softmax" for follower in followers):
            return True
        followers = [node for node in followers if node.op_type in {"Add", "Reshape", "Cast", "Where", "Max", "Clip"}]
        if not followers:
            return False
        node = followers[0]
    return False


def _looked_up(model: CheckedModel, value: str) -> bool:
    """Whether a weight expression is cut from a table by indices: relative positions."""
    node = model.producers.get(value)
    return node is not None and (
        node.op_type in LOOKUPS or any(_looked_up(model, name) for name in data_inputs(node) if name)
    )


def _is_rotary(model: CheckedModel, product: NodeProto) -> bool:
    """Whether a product is one of the two in x * cos + rotated(x) * sin (RoFormer, Su 2021).

        x -- Mul (cos) ------------------------------ Add
        x -- Slice -- Neg -- Concat -- Mul (sin) ----+
          +- Slice ---------+

    The same sum without a negated half is two gates added up: their factors may be parameters.
    """
    sums = [use.node for use in model.consumers.get(product.output[0], ()) if use.node.op_type == "Add"]
    terms = [model.producers.get(name) for node in sums for name in node.input]
    factors = [name for term in terms if term is not None and term.op_type == "Mul" for name in term.input]
    return any(_is_rotated(model, name) for name in factors)


def _is_rotated(model: CheckedModel, value: str) -> bool:
    """A Concat one half of which is negated: halves, or pairs that a Reshape lays side by side."""
    node = model.producers.get(walk_back(model, value, {"Reshape", "Flatten", "Transpose"}))
    if node is None or node.op_type != "Concat" or len(node.input) != 2:
        return False
    parts = [model.producers.get(name) for name in node.input]
    parts = [model.producers.get(part.input[0]) if part and part.op_type == "Unsqueeze" else part for part in parts]
    return any(part is not None and part.op_type == "Neg" for part in parts)


def _is_group_norm_dummy(model: CheckedModel, node: NodeProto) -> bool:
    """Whether this is the first half of a GroupNorm as torch exports it.

        x -- Reshape -- InstanceNormalization (1, 0) -- Reshape -- Mul (scale) -- Add (bias)

    The ones and zeros of the normalisation train nobody's network; scale and bias behind it do. Without the Reshapes
    around it an InstanceNormalization has parameters of its own.
    """
    if node.op_type != "InstanceNormalization":
        return False
    before = model.producers.get(node.input[0])
    chain = [node]
    for _ in range(3):
        followers = model.consumers.get(chain[-1].output[0], ())
        if len(followers) != 1:
            break
        chain.append(followers[0].node)
    return (
        before is not None
        and before.op_type == "Reshape"
        and [follower.op_type for follower in chain[1:]] == ["Reshape", "Mul", "Add"]
    )
