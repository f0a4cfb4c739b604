"""Nodes of an export, named as the module names its layers.

    /layer1/layer1.0/conv1/Conv      layer1.0.conv1            it reads the weights of that layer
    /layer1/layer1.0/Add             layer1.0/Add              any other
    /att/MatMul_3                    att.out_proj              weights that the layer above reads itself
    /f/f.0/Gemm, /f/f.0_1/Gemm       f.0, f.0 (2)              a layer that is called twice

The exporter writes the attribute of each level, and inside of a container the attribute of the container once more.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from onnx import ModelProto

CALL: Final = re.compile(r"_\d+$")
"""What the exporter appends to the second call of a layer."""
ELEMENTWISE: Final = frozenset({"Add", "Div", "Mul", "Sub"})
"""What adds a bias, or a scale, to what another node of the layer made."""


def name_nodes(model: ModelProto, parameters: Iterable[str]) -> None:
    """Rename the nodes of the main graph in place; `parameters`: names of the module's own, as `named_parameters`."""
    owners = {name: name.rpartition(".")[0] for name in parameters}
    constants = {tensor.name for tensor in model.graph.initializer} - owners.keys()
    taken: Counter[str] = Counter()
    for node in model.graph.node:
        given = {name for name in node.input if name}
        read = [owners[name] for name in node.input if name in owners]
        if not given - constants:
            constants.update(node.output)
        is_weight = bool(read) and not given - constants - owners.keys()
        if is_weight:  # made of nothing but parameters, on its way to where it is used
            owners.update(dict.fromkeys(node.output, read[0]))
        scope = module_path(node.name)
        owner = next((each for each in read if each and each.startswith(CALL.sub("", scope))), "")
        plain = owner and not is_weight and node.op_type not in ELEMENTWISE
        name = owner if plain else f"{owner or scope}/{node.op_type}"
        taken[name] += 1
        node.name = name if taken[name] == 1 else f"{name} ({taken[name]})"


def module_path(scope: str) -> str:
    """The path of the module that a node was exported from, empty for the module itself."""
    path: list[str] = []
    for level in scope.split("/")[1:-1]:
        if path and level.startswith(f"{path[-1]}."):
            path[-1] = level
        else:
            path.append(level)
    return ".".join(path)
