"""What the fork server loads once, so that no child has to: the library, and what it loads only where it is needed.

What is in memory now stays as long as the fork server lives. Python's collector is told so, as every child would go
through half a million objects (.1 s), and get a copy of each page that they lie on.
"""

# ruff: noqa: E402 - it is tied to its supervisor before it loads anything for seconds
from service.worker.leash import die_with_parent

die_with_parent()

import gc
from typing import Final

import numpy.fft  # numpy loads it with its first use, for pictures that are made up
import numpy.ma  # noqa: F401 - and this with the first median
import onnx.reference  # noqa: F401 - for weights that are cut and joined on their way to an operator
from onnx.parser import parse_model

import service.worker.child  # noqa: F401
from analysis.convert.translate import read_graph, translate
from analysis.graph.trunk import find_trunk
from analysis.interventions.shelf import INTERVENTIONS
from analysis.model import check_model

SMALL: Final = """<ir_version: 9, opset_import: ["": 18]> small (float[N, 4] x) => (float[N, 4] y)
<float[4, 4] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}> { h = MatMul(x, w) a = Relu(h) y = MatMul(a, w) }"""


def read_small_graph() -> None:
    """What networkx compiles and what Python reads of annotations at a first call is done once and for all.

    Nothing is computed: a fork server that has used torch or onnxruntime may have threads that its children lack.
    """
    read = read_graph(check_model(parse_model(SMALL).SerializeToString()))
    translate(read)
    find_trunk(read.model, read.sources, read.layers, "y")


for treatment in INTERVENTIONS:
    treatment.load()
read_small_graph()
gc.collect()
gc.freeze()
