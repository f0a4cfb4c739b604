"""Models and batches that want more than there is, through HTTP: each is refused, and the next job runs."""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from tests.acceptance.conftest import Service, serving, wait_until
from tests.gallery import mlp, vectors, xavier

pytestmark = pytest.mark.server
HONEST, BATCH = mlp(3, "Relu", xavier(), width=16), vectors()
WEIGHTS: Final = numpy_helper.from_array(np.eye(8, dtype=np.float32) / 3, "w")


def network(lines: str, *tensors: TensorProto, **input_shape: str) -> bytes:
    """x times w is h; the lines make z of it."""
    shape = input_shape.get("x", "N, 8")
    text = f"""<ir_version: 9, opset_import: ["": 18]> g (float[{shape}] x) => (float z) {{
        h = MatMul(x, w)
        {lines} }}"""
    model = parser.parse_model(text)
    model.graph.initializer.extend([WEIGHTS, *tensors])
    return model.SerializeToString()


def integers(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def endless_loop() -> bytes:
    body = "b (int64 i, bool c, float[N, 8] v) => (bool d, float[N, 8] u) { d = Identity(c) u = Tanh(v) }"
    trips = numpy_helper.from_array(np.array(1 << 50), "n")
    return network(f"c = Constant<value = bool {{1}}>() z = Loop<body = {body}>(n, c, h)", trips)


def doubling() -> bytes:
    lines = [f"t{i + 1} = Concat<axis = 0>(t{i}, t{i})" for i in range(40)]
    return network("t0 = Identity(h)\n" + "\n".join(lines) + "\nz = ReduceSum<keepdims = 0>(t40)")


def laughter() -> bytes:
    """Functions that call each other twice, thirty deep."""
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("d", 1)]

    def function(level: int) -> Any:
        def call(read: str, written: str) -> Any:
            if level == 0:
                return helper.make_node("Tanh", [read], [written])
            return helper.make_node(f"F{level - 1}", [read], [written], domain="d")

        return helper.make_function("d", f"F{level}", ["a"], ["c"], [call("a", "b"), call("b", "c")], opsets)

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 8]) for name in "xy")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("F29", ["h"], ["y"], domain="d")]
    graph = helper.make_graph(nodes, "g", [x], [y], [WEIGHTS])
    functions = [function(level) for level in range(30)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=9).SerializeToString()


def lying_tensor() -> bytes:
    lie = integers("n", 1)
    lie.dims[0] = 1 << 40
    return network("z = Add(h, w)", lie)


def file_outside() -> bytes:
    outside = TensorProto(name="p", data_type=TensorProto.UINT8, dims=[16], data_location=TensorProto.EXTERNAL)
    outside.external_data.add(key="location", value="/etc/passwd")
    return network("f = Cast<to = 1>(p) r = ReduceSum<keepdims = 0>(f) z = Add(h, r)", outside)


def region(x: float) -> bytes:
    regions = numpy_helper.from_array(np.array([[0, 0, x, x]], np.float32), "r")
    return network(
        "z = RoiAlign<output_height = 2, output_width = 2>(h, r, i)", regions, integers("i", 0), x="N, 1, 8, 8"
    )


MODELS: Final[dict[str, tuple[Callable[[], bytes], str]]] = {
    "a loop without end": (endless_loop, "limit-exceeded"),
    "a tensor that doubles": (doubling, "limit-exceeded"),
    "functions that double": (laughter, "limit-exceeded"),
    "a tensor without its bytes": (lying_tensor, "invalid-model"),
    "a file of the machine": (file_outside, "invalid-model"),
    "a region without end": (lambda: region(1e9), "limit-exceeded"),
    "an input without end": (lambda: network("z = Tanh(h)", x=f"{1 << 40}, 8"), "limit-exceeded"),
    "a shape without end": (
        lambda: network("z = Expand(h, s)", integers("s", 1 << 33, 1, 8)), "limit-exceeded",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One slot, and two gigabytes for what is in it."""
    with serving(tmp_path_factory.mktemp("hostile"), job_slots=1, max_job_memory_bytes=2 << 30) as service:
        yield service


def assert_the_next_one_runs(service: Service) -> None:
    options = json.dumps({"effort": "quick", "seed": time.time_ns() % 2**31})
    assert service.post(model=HONEST, batch=BATCH, options=options).status_code == HTTPStatus.OK


@pytest.mark.parametrize("effort", ["quick", "standard"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_wants_too_much_is_refused_and_the_next_job_runs(small: Service, name: str, effort: str) -> None:
    make, code = MODELS[name]
    answer = small.post(model=make(), options=json.dumps({"effort": effort}))
    assert (answer.is_client_error, answer.json()["code"]) == (True, code), answer.text
    assert_the_next_one_runs(small)


def bomb() -> bytes:
    """A gigabyte of zeros in a megabyte."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1 << 23, 32)})
        for _ in range(1 << 10):
            member.write(bytes(1 << 20))
    return content.getvalue()


@pytest.mark.parametrize("batch", [bomb(), b"\x93NUMPY\x02\x00\xff\xff\xff\xff{", b'{"inputs":' + b"[" * 100_000])
def test_a_batch_that_wants_too_much_is_refused_and_the_next_job_runs(small: Service, batch: bytes) -> None:
    answer = small.post(model=HONEST, batch=batch, options='{"effort": "quick"}')
    assert answer.json()["code"] in {"bad-batch", "limit-exceeded"}, answer.text
    assert_the_next_one_runs(small)


def test_no_child_is_left_and_nothing_lies_in_the_working_folder(small: Service) -> None:
    wait_until(lambda: small.work() == [], "an empty working folder")
    assert Path(small.data / "objects").is_dir()
