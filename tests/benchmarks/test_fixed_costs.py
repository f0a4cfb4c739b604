"""What every job pays: conversion, weights, the child, the report."""

import math
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from analysis.convert import convert
from analysis.model import check_model
from analysis.options import parse_options
from analysis.pipeline import analyze
from tests.benchmarks.conftest import Record
from tests.benchmarks.networks import chain
from tests.benchmarks.timing import best
from tests.gallery import he, mlp, vectors

pytestmark = pytest.mark.benchmark
DEMO = [Path(__file__).parents[2] / "deploy" / "demo" / name for name in ("deep_sigmoid.onnx", "batch.npz")]


def test_conversion_per_node(record: Record) -> None:
    sizes, each = [1000, 5000], []
    for nodes in sizes:
        checked = check_model(chain(nodes))
        each.append(best(lambda checked=checked: convert(checked), 3))
        record(f"conversion, {nodes} nodes", 1e6 * each[-1] / nodes, unit="us/node", target=130)
    exponent = math.log(each[1] / each[0]) / math.log(sizes[1] / sizes[0])
    record("conversion, growth exponent from 1000 to 5000 nodes", exponent, unit="", target=1.2, known=1.2)


@pytest.mark.parametrize("where", ["inline", "external"])
def test_reading_weights(where: str, tmp_path: Path, record: Record) -> None:
    megabytes = 256
    weight = np.zeros((megabytes << 12, 64), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Gather", ["w", "i"], ["y"])], "table",
        [helper.make_tensor_value_info("i", TensorProto.INT64, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 64])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = tmp_path / "model.onnx"
    if where == "external":
        external_data_helper.convert_model_to_external_data(model, location="weights.bin")
        external_data_helper.write_external_data_tensors(model, str(tmp_path))
    path.write_bytes(model.SerializeToString())
    seconds = best(lambda: convert(check_model(path)), 3)
    record(f"{where} weights, CPU per GB", seconds * 1024 / megabytes, unit="s/GB", target=0.05)


def test_a_child_starts_with_everything_in_place(record: Record) -> None:
    command = [sys.executable, str(Path(__file__).with_name("start_children.py"))]
    seconds = float(subprocess.check_output(command, text=True))
    record("job child, CPU to its first torch operation", 1e3 * seconds, unit="ms", target=15)
    seconds = float(subprocess.check_output([*command, "demo"], text=True))
    record("job child, CPU of the demo at quick", seconds, unit="s", target=0.25)


def test_the_command_line_on_the_demo(record: Record) -> None:
    command = [sys.executable, "-m", "service", "analyze", "--effort", "quick", *map(str, DEMO)]
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    record("command line, CPU of the demo at quick, cold", min(taken), unit="s", target=2.2)


def test_writing_a_report(record: Record) -> None:
    small = analyze(mlp(4, "Relu", he()), vectors(), parse_options({"effort": "quick"}))
    variant = next(each for each in small.variants if each.layers)
    assert variant.layers
    wide = variant.model_copy(update={"layers": variant.layers[:1] * 1000})
    report = small.model_copy(update={"layers": small.layers[:1] * 1000, "variants": (wide,) * 24})
    record("report of 1000 layers and 24 variants", 1e3 * best(report.to_json), unit="ms", target=25)
