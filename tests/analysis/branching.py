"""A network that is one of two, as a rate says: both lie in the branches of an If."""

from onnx import numpy_helper, parser

from analysis.model import CheckedModel, check_model
from tests.analysis.model.models import body, node
from tests.analysis.text_models import drawn

RATES = "float[N,4] x, int64 rate"
BY_RATE = "k = Constant<value_int = 16>() wide = Equal(rate, k)"
BY_SIZE = "s = Size(x) k = Constant<value_int = 0>() wide = Greater(s, k)"
BY_DATA = "s = ReduceSum<keepdims = 0>(x) k = Constant<value_float = 0.0>() wide = Greater(s, k)"


def branching(decides: str = BY_RATE, inputs: str = RATES, before: str = "z = Identity(x)") -> CheckedModel:
    """First: y = relu(x A) B, else y = tanh(x C) B; both branches call what is hidden h and o, as exporters do."""
    made = parser.parse_model(
        f'<ir_version: 10, opset_import: ["": 17]> net ({inputs}) => (float[N,4] y) {{ {decides} {before} }}'
    )
    tensors = {name: drawn(4, 4, seed=place) for place, name in enumerate("ABC")}
    made.graph.initializer.extend(numpy_helper.from_array(tensor, name) for name, tensor in tensors.items())
    first = body([node("MatMul", "z A", "h"), node("Relu", "h", "g"), node("MatMul", "g B", "o")], "o")
    second = body([node("MatMul", "z C", "h"), node("Tanh", "h", "g"), node("MatMul", "g B", "o")], "o")
    choice = node("If", "wide", "y", then_branch=first, else_branch=second)
    choice.name = "choice"
    made.graph.node.append(choice)
    return check_model(made.SerializeToString())
