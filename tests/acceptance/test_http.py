"""The service as its users meet it: over HTTP, with curl, with Python, with bad input."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from analysis.comparison.document import Comparison
from analysis.report import Report, Verdict
from service.problems import Problem
from tests.acceptance.asking import BATCH, HEALTHY, LONG, ROOT, SICK, refused, thorough
from tests.acceptance.conftest import SECONDS, Service, serving
from tests.gallery import INPUTS, npz

pytestmark = pytest.mark.server


# ------------------------------------------------------------------ Python


def test_the_client_of_the_readme_follows_an_analysis_to_its_report(service: Service) -> None:
    _, snippet, _ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = snippet.replace("http://127.0.0.1:8000", service.url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    *states, summary = done.stdout.strip().splitlines()
    assert states[-1] == "100% succeeded"
    assert "7.2 decades" in summary


# ------------------------------------------------------------------ curl


needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class CurlLines(NamedTuple):
    """The curl commands of README.md, in their order."""

    plain: str
    gate: str
    keyed: str
    comparison: str


def curl_lines() -> CurlLines:
    """As they stand."""
    blocks = re.findall(r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    commands = [command for block in blocks for command in re.split(r"^\$ ", block, flags=re.MULTILINE)]
    return CurlLines(*(each.replace("\\\n", " ").strip() for each in commands if each.startswith("curl ")))


def curl(service: Service, command: str, folder: Path, *more: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a line of README.md as it stands, but for the address and what it writes."""
    words = shlex.split(command.replace("http://127.0.0.1:8000", service.url).replace("@deploy/", f"@{ROOT}/deploy/"))
    return subprocess.run([*words, *more], cwd=folder, capture_output=True, timeout=3 * SECONDS, check=False)


@needs_curl
def test_the_first_curl_line_answers_with_the_report(service: Service, tmp_path: Path) -> None:
    done = curl(service, curl_lines().plain, tmp_path)
    assert done.returncode == 0
    assert Report.from_json(done.stdout).verdict is Verdict.UNHEALTHY


@needs_curl
def test_the_gate_of_the_readme_fails_a_build_with_22_and_leaves_the_report(service: Service, tmp_path: Path) -> None:
    done = curl(service, curl_lines().gate, tmp_path)
    assert done.returncode == 22, done.stderr
    assert b"422" in done.stderr
    assert b"Will retry" not in done.stderr  # a verdict is final
    assert Report.from_json((tmp_path / "report.json").read_bytes()).verdict is Verdict.UNHEALTHY


@needs_curl
def test_the_gate_lets_a_healthy_model_pass(service: Service, tmp_path: Path) -> None:
    done = curl(service, gate_for(HEALTHY, tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    assert Report.from_json((tmp_path / "report.json").read_bytes()).verdict is Verdict.HEALTHY


@needs_curl
def test_the_gate_retries_until_there_is_a_verdict(service: Service, tmp_path: Path) -> None:
    impatient = gate_for(LONG["model"], tmp_path).replace("fail_on=error", "fail_on=error&wait=1")
    done = curl(service, impatient, tmp_path, "-F", f"options={thorough(seed=1)}")
    assert done.returncode == 22, done.stderr
    assert b"Will retry" in done.stderr
    assert Report.from_json((tmp_path / "report.json").read_bytes()).verdict is Verdict.UNHEALTHY


@needs_curl
def test_the_comparison_of_the_readme_fails_a_build_with_22_and_says_what_was_gained(
    service: Service, tmp_path: Path
) -> None:
    line = curl_lines().comparison
    old, new = re.findall(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", line)
    quick = '{"effort": "quick"}'
    healthy = service.submit(model=HEALTHY, batch=BATCH, options=quick)
    sick = service.submit(model=SICK, batch=BATCH, options=quick)
    for job in (healthy, sick):
        service.get(f"/v1/analyses/{job}/report", params={"wait": SECONDS})
    done = curl(service, line.replace(old, healthy).replace(new, sick), tmp_path)
    assert done.returncode == 22, done.stderr
    told = Comparison.model_validate_json(done.stdout)
    assert (told.verdict.old, told.verdict.new) == (Verdict.HEALTHY, Verdict.UNHEALTHY)
    back = curl(service, line.replace(old, sick).replace(new, healthy), tmp_path)
    assert back.returncode == 0, back.stderr
    assert not Comparison.model_validate_json(back.stdout).regression


@needs_curl
def test_with_keys_the_line_of_the_readme_is_answered_to_its_holder_alone(tmp_path: Path) -> None:
    with serving(tmp_path, auth="keys") as service:
        command = [sys.executable, "-m", "service", "keys", "create", "--tenant", "me", "--data-dir", str(service.data)]
        key = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        line = curl_lines().keyed
        mine, none = (
            curl(service, line.replace("$GRADIENT_HEALTH_API_KEY", each), tmp_path) for each in (key, "gh_no_key")
        )
    assert json.loads(mine.stdout)["analyses"] == []
    assert Problem.model_validate_json(none.stdout).status == HTTPStatus.UNAUTHORIZED


def gate_for(model: bytes, folder: Path) -> str:
    """The gate of README.md for another model."""
    (folder / "model.onnx").write_bytes(model)
    (folder / "batch.npz").write_bytes(BATCH)
    return (
        curl_lines()
        .gate.replace("@deploy/demo/deep_sigmoid.onnx", "@model.onnx")
        .replace("@deploy/demo/batch.npz", "@batch.npz")
    )


@needs_curl
def test_a_preference_for_202_and_the_way_to_the_report(service: Service, tmp_path: Path) -> None:
    done = curl(service, curl_lines().plain, tmp_path, "--include", "--header", "Prefer: respond-async")
    head, _, body = done.stdout.decode().rpartition("\r\n\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines() if ": " in line)
    assert "202 accepted" in head.lower()
    assert headers["location"] == f"/v1/analyses/{json.loads(body)['id']}"
    assert int(headers["retry-after"]) > 0
    report = service.get(headers["location"] + "/report", params={"wait": SECONDS})
    assert Report.from_json(report.content).verdict is Verdict.UNHEALTHY


# ------------------------------------------------------------------ bad input


def perceptron(nodes: list[onnx.NodeProto], **weights: np.ndarray) -> bytes:
    """From x [N, 32] to y."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    ends[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", INPUTS])
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "perceptron", ends[:1], ends[1:], tensors)
    domains = [
        helper.make_opsetid(name, version) for name, version in (("", 17), ("com.example", 1), ("com.microsoft", 1))
    ]
    return helper.make_model(graph, opset_imports=domains, ir_version=8).SerializeToString()


def with_external_data() -> bytes:
    model = onnx.load_from_string(HEALTHY)
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], "weights.bin")
    model.graph.initializer[0].ClearField("raw_data")
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    return model.SerializeToString()


def with_unsupported_operators() -> bytes:
    weights = {"w": np.ones((INPUTS, INPUTS), np.float32)}
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="fine"),
        helper.make_node("Fancy", ["h"], ["a"], name="odd one", domain="com.example"),
        helper.make_node("LongformerAttention", ["a"], ["b"], name="odd two", domain="com.microsoft"),
        helper.make_node("Fancy", ["b"], ["y"], name="odd three", domain="com.example"),
    ]
    return perceptron(nodes, **weights)


def inputs(shape: tuple[int, ...] = (4, INPUTS), dtype: type = np.float32, **more: np.ndarray) -> bytes:
    return npz(x=np.ones(shape, dtype), **more)


def not_finite() -> bytes:
    x = np.ones((4, INPUTS), np.float32)
    x[1, 2], x[3, 4] = np.nan, np.inf
    return npz(x=x)


BAD: dict[str, tuple[dict[str, Any], int, str, str, tuple[str, ...]]] = {
    # name: (parts, status, code, where, words of detail or hint)
    "text as a model": ({"model": b"hello, I am no model"}, 400, "not-onnx", "model", ("not an ONNX model", ".onnx")),
    "a zip as a model": ({"model": b"PK\x03\x04"}, 400, "not-onnx", "model", ("torch file", "torch.onnx.export")),
    "a batch as a model": ({"model": BATCH}, 400, "not-onnx", "model", ("npz file", "is it the batch?")),
    "half a model": ({"model": HEALTHY[: len(HEALTHY) // 2]}, 400, "not-onnx", "model", ("not an ONNX model",)),
    "an empty model": ({"model": b""}, 400, "not-onnx", "model", ("the model is empty", ".onnx")),
    "no model": ({"model": None}, 400, "bad-request", "model", ("'model' is missing", "curl")),
    "an unknown part": ({"weights": b"1"}, 400, "bad-request", "weights", ("unknown part 'weights'", "batch")),
    "a missing data file": ({"model": with_external_data()}, 400, "missing-external-data", "w0", ("weights.bin",)),
    "operators unheard of": (
        {"model": with_unsupported_operators(), "batch": inputs()},
        422,
        "unsupported-operator",
        "graph",
        ("Fancy", "com.example", "odd one", "LongformerAttention", "odd two", "odd three", "re-export"),
    ),
    "nothing to train": (
        {"model": perceptron([helper.make_node("Relu", ["x"], ["y"])]), "batch": inputs()},
        400,
        "nothing-to-train",
        "model",
        ("no trainable weight", "initialisers"),
    ),
    "everything frozen": ({"options": '{"freeze": ["*"]}'}, 400, "nothing-to-train", "model", ("no trainable weight",)),
    "an empty batch": ({"batch": b""}, 400, "bad-batch", "batch", ("the batch is empty", "npz")),
    "text as a batch": ({"batch": b"1,2,3\n"}, 400, "bad-batch", "batch", ("not recognised", "npz")),
    "another input name": ({"batch": npz(data=np.ones(4))}, 400, "bad-batch", "x", ("expects 'x'", "has 'data'")),
    "another shape": ({"batch": inputs((4, 31))}, 400, "bad-batch", "x", ("expected shape [N, 32], given [4, 31]",)),
    "another rank": ({"batch": inputs((32,))}, 400, "bad-batch", "x", ("expected shape [N, 32], given [32]",)),
    "another dtype": (
        {"batch": inputs(dtype=np.float64)}, 400, "bad-batch", "x", ("expected float32, given float64", ".astype"),
    ),
    "a target of another length": (
        {"batch": inputs(target=np.zeros(3, int))}, 400, "bad-batch", "target", ("3 targets for 4 samples",),
    ),
    "a class that is not there": (
        {"batch": inputs(target=np.full(4, 10))}, 400, "bad-batch", "target", ("must lie in 0..9, given 10..10",),
    ),
    "values that are not finite": ({"batch": not_finite()}, 400, "bad-batch", "x", ("2 of 128 values", "clean")),
    "an unknown option": ({"options": '{"sed": 1}'}, 400, "bad-options", "options.sed", ("sed", "seed")),
    "an option out of bounds": ({"options": '{"seed": -1}'}, 400, "bad-options", "options.seed", ("seed", "-1")),
    "options that are not JSON": ({"options": "{seed: 1}"}, 400, "bad-options", "options", ("not JSON",)),
    "a weight that is not there": ({"options": '{"freeze": ["v*"]}'}, 400, "bad-options", "options.freeze", ("'v*'",)),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_that_says_what_where_and_the_way_out(service: Service, name: str) -> None:
    parts, status, code, where, words = BAD[name]
    given = {"model": HEALTHY, "batch": BATCH} | parts
    response = service.post(**{name: content for name, content in given.items() if content is not None})
    problem = refused(response)
    assert (problem.status, problem.code, problem.where) == (status, code, where)
    for word in words:
        assert word in f"{problem.detail} {problem.hint}"


def test_a_refused_analysis_answers_every_way_with_the_same_problem(service: Service) -> None:
    job_id = service.submit(model=HEALTHY, batch=not_finite())
    stored = service.until_end(job_id)["error"]
    for query in ("", "?fail_on=error"):
        problem = refused(service.get(f"/v1/analyses/{job_id}/report{query}"))
        assert problem.model_dump(exclude={"instance"}) == {name: stored[name] for name in stored if name != "instance"}


# ------------------------------------------------------------------ the repaired model


def test_the_repaired_model_is_downloaded_and_healthy(service: Service) -> None:
    job_id = service.submit(model=SICK, batch=BATCH)
    service.until_end(job_id)
    report = Report.from_json(service.get(f"/v1/analyses/{job_id}/report").content)
    best = report.remedies[0].variant
    href = next(each.model.href for each in report.variants if each.id == best and each.model is not None)
    repaired = service.get(f"/v1/analyses/{job_id}/{href}").content
    onnx.checker.check_model(onnx.load_from_string(repaired), full_check=True)
    again = service.post(model=repaired, batch=BATCH)
    assert Report.from_json(again.content).verdict is Verdict.HEALTHY
