"""What the fork server loads once, so that no child has to: the library, and what it loads only where it is needed.

What is in memory now stays as long as the fork server lives. Python's collector is told so, as every child would go
through half a million objects (.1 s), and get a copy of each page that they lie on. And it is moved into large pages.
"""

# ruff: noqa: E402 - it is tied to its supervisor before it loads anything for seconds
from service.worker.allocator import keep_freed_memory
from service.worker.leash import die_with_parent

die_with_parent()
keep_freed_memory()

import gc
import io
import os
from typing import Final

import numpy as np
import numpy.fft  # numpy loads it with its first use, for pictures that are made up
import numpy.ma
import onnx.reference  # noqa: F401 - for weights that are cut and joined on their way to an operator
import torch
from onnx.parser import parse_model

import service.worker.child  # noqa: F401
from analysis.interventions.shelf import INTERVENTIONS
from analysis.model import check_model
from analysis.options import parse_options
from analysis.subject.parity import check_parity
from analysis.subject.preparation import prepare
from service import logs
from service.worker import large_pages, sandbox

SMALL: Final = """<ir_version: 9, opset_import: ["": 18]> small (float[N, 4] x) => (float[N, 4] y)
<float[4, 4] w = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}> { h = MatMul(x, w) a = Relu(h) y = MatMul(a, w) }"""


def run_small_model() -> None:
    """What is compiled and looked up at a first call is so once and for all, up to the comparison with onnxruntime.

    Forwards and on one thread only: a fork server with threads has children that lack them, and the first backward pass
    of a process asks for its GPUs, after which no child could use one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    batch = io.BytesIO()
    np.savez(batch, x=np.eye(4, dtype=np.float32))
    model = check_model(parse_model(SMALL).SerializeToString())
    check_parity(prepare(model, batch.getvalue(), parse_options({"device": "cpu"})))
    torch.set_num_threads(threads)


logs.configure(os.environ.get(logs.ENVIRONMENT, "text"))
for treatment in INTERVENTIONS:
    treatment.load()
run_small_model()
sandbox.prepare()
gc.collect()
gc.freeze()
large_pages.gather()
