"""In a fresh interpreter, as the fork server is one."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.gallery import Recurrent, export, mlp, seeded, sequences, vectors, xavier

ROOT = Path(__file__).parents[3]
SCRIPT = """
import gc, os, sys
from pathlib import Path
import onnxruntime  # starts a thread of its own when it is loaded
before = os.listdir("/proc/self/task")
import torch  # whose first backward pass asks for GPUs, which no child can use afterwards
backward, torch.Tensor.backward = torch.Tensor.backward, None
import service.worker.preload
torch.Tensor.backward = backward
from service.worker import filesystem, syscalls
assert filesystem.readable.cache_info().currsize == 1
assert not syscalls.seccomp or syscalls.program.cache_info().currsize == 1
assert os.listdir("/proc/self/task") == before, "children would lack these threads of their fork server"
import numpy
assert {"fft", "linalg", "ma", "random"} <= vars(numpy).keys()
assert gc.get_freeze_count() > 100_000
before = set(sys.modules)
from analysis.options import parse_options
from analysis.pipeline import analyze
for name in ("sigmoid", "lstm"):
    options = parse_options({"effort": "quick", "variants": ["orthogonal_memory", "lsuv", "xavier_uniform"]})
    analyze(Path(f"{name}.onnx"), Path(f"{name}.npz"), options).to_json()
late = {name for name in set(sys.modules) - before if not name.startswith("encodings.")}
assert not late, sorted(late)
"""


def test_a_job_loads_no_module_that_was_not_loaded_for_it_and_its_pages_are_shared(tmp_path: Path) -> None:
    (tmp_path / "sigmoid.onnx").write_bytes(mlp(6, "Sigmoid", xavier(), width=16))
    (tmp_path / "sigmoid.npz").write_bytes(vectors())
    (tmp_path / "lstm.onnx").write_bytes(export(seeded(Recurrent), torch.zeros(2, 20, 8)))
    (tmp_path / "lstm.npz").write_bytes(sequences())
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path})
