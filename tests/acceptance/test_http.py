"""The service as its users meet it: over HTTP, with curl, with bad input, and with processes that get killed."""

import hashlib
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from analysis.comparison.document import Comparison
from analysis.report import Report, Verdict
from service.objects.part import PART
from service.problems import Problem
from tests.acceptance.conftest import SECONDS, Service, kill, serving, wait_until
from tests.gallery import INPUTS, he, mlp, npz, vectors, xavier

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]
SICK, HEALTHY, BATCH = mlp(12, "Sigmoid", xavier()), mlp(6, "Relu", he()), vectors()
LONG = {"model": mlp(12, "Sigmoid", xavier(), width=32), "batch": BATCH}
"""With effort=thorough it computes for two or three seconds."""


def thorough(seed: int) -> str:
    return json.dumps({"effort": "thorough", "seed": seed})


def long_job(service: Service, seed: int) -> str:
    return service.submit(**LONG, options=thorough(seed))


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


WAY_OUT_IN_DETAIL = re.compile("expected .*, given .*|must lie in|Expecting")
BAD: dict[str, tuple[dict[str, Any], int, str, str, tuple[str, ...]]] = {
    # name: (parts, status, code, where, words of detail or hint)
    "text as a model": ({"model": b"hello, I am no model"}, 400, "not-onnx", "model", ("not an ONNX model", ".onnx")),
    "a zip as a model": ({"model": BATCH}, 400, "not-onnx", "model", ("zip or torch file", "torch.onnx.export")),
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


def refused(response: httpx.Response) -> Problem:
    """The problem of an answer, as every problem has to be."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = Problem.model_validate(response.json())
    assert response.status_code == problem.status
    assert problem.type == f"urn:gradient-health:problem:{problem.code}"
    assert problem.hint or WAY_OUT_IN_DETAIL.search(problem.detail), problem
    for line in (problem.title, problem.detail, problem.where, problem.hint):
        assert line.isprintable()
    for inside in ("Traceback", 'File "', ".py", "Error(", str(ROOT)):
        assert inside not in response.text
    return problem


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


# ------------------------------------------------------------------ kill -9 in mid-job


def assert_one_result(service: Service, job_id: str, attempt: int) -> None:
    """Succeeded, with one whole report, and nothing half written anywhere."""
    view = service.until_end(job_id)
    assert (view["state"], view["error"], view["progress"]["fraction"]) == ("succeeded", None, 1.0)
    row = service.row(job_id)
    assert row.attempt == attempt
    answer = service.get(f"/v1/analyses/{job_id}/report")
    assert Report.from_json(answer.content).verdict is Verdict.UNHEALTHY
    stored = service.objects()[row.report_sha256]
    assert hashlib.sha256(stored).hexdigest() == row.report_sha256
    assert answer.content == Report.from_json(stored).model_copy(update={"id": job_id}).to_json()
    assert service.get(f"/v1/analyses/{job_id}/report").content == answer.content
    assert_nothing_half_written(service)


def assert_nothing_half_written(service: Service) -> None:
    for name, content in service.objects().items():
        assert hashlib.sha256(content).hexdigest() == name
    wait_until(lambda: service.work() == [], "the working folders removed")


def test_kill_9_of_the_child_is_a_clear_problem_and_the_service_goes_on(service: Service) -> None:
    """It is tried once more, and what dies twice has failed."""
    job_id = long_job(service, seed=10)
    first = service.until_at_work(job_id)
    kill(first)
    wait_until(lambda: service.row(job_id).attempt == 2, "the job is tried once more")
    second = service.until_at_work(job_id)
    assert second != first
    kill(second)
    view = service.until_end(job_id)
    assert view["state"] == "failed"
    problem = refused(service.get(f"/v1/analyses/{job_id}/report"))
    assert (problem.code, problem.status) == ("worker-crashed", 422)
    assert "SIGKILL" in problem.detail
    assert (service.row(job_id).attempt, service.row(job_id).report_sha256) == (2, None)
    assert service.post(model=HEALTHY, batch=BATCH).status_code == HTTPStatus.OK
    assert_nothing_half_written(service)


def test_kill_9_of_the_supervisor_loses_nothing_and_another_takes_its_place(service: Service) -> None:
    job_id, supervisor = long_job(service, seed=11), service.supervisor()
    child = service.until_at_work(job_id)
    kill(supervisor)
    wait_until(lambda: child not in service.processes(), "the orphan has ended")
    assert_one_result(service, job_id, attempt=2)
    assert service.supervisor() != supervisor


def test_kill_9_of_the_api_loses_no_job_and_a_client_rejoins_its_own(service: Service) -> None:
    parts = LONG | {"options": thorough(seed=12)}
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.post, key="mine", **parts)
        mine = service.submitted("mine")
        service.until_at_work(mine)
        others = [service.submit(model=SICK, batch=BATCH, options=json.dumps({"seed": seed})) for seed in (13, 14)]
        service.end(signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            waiting.result()
    assert service.row(mine).state == "queued"
    service.start()
    again = service.post(key="mine", **parts)
    assert (again.status_code, again.headers["location"]) == (HTTPStatus.OK, f"/v1/analyses/{mine}")
    for job_id in (mine, *others):
        assert_one_result(service, job_id, attempt=1)


def test_kill_9_of_everything_at_once_loses_nothing_and_leaves_no_half_of_an_upload(service: Service) -> None:
    job_id = long_job(service, seed=15)
    service.until_at_work(job_id)
    with half_an_upload(service):
        service.kill_everything()
    assert service.row(job_id).state == "running"
    assert any(name.endswith(PART) for name in service.objects())
    service.start()
    assert_one_result(service, job_id, attempt=2)


@contextmanager
def half_an_upload(service: Service) -> Iterator[None]:
    """A client that has sent half of its request, more than is kept in memory, and waits."""
    body = b'--x\r\nContent-Disposition: form-data; name="model"; filename="m"\r\n\r\n' + HEALTHY * 64
    head = "POST /v1/analyses HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(f"{head}Content-Length: {2 * len(body)}\r\n\r\n".encode() + body)
        wait_until(lambda: any(name.endswith(PART) for name in service.objects()), "the upload has begun")
        yield


# ------------------------------------------------------------------ stop, deadline, slots


def test_sigterm_answers_who_waits_stops_the_job_and_leaves_no_process(service: Service) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.post, key="stopped", **LONG, options=thorough(seed=16))
        job_id = service.submitted("stopped")
        service.until_at_work(job_id)
        assert service.end(signal.SIGTERM) in {0, -signal.SIGTERM, 128 + signal.SIGTERM}
        answer = waiting.result()
    assert (answer.status_code, answer.headers["location"]) == (HTTPStatus.ACCEPTED, f"/v1/analyses/{job_id}")
    released = service.row(job_id)
    assert (released.state, released.attempt, released.owner) == ("queued", 0, None)
    assert service.work() == []
    service.start()
    assert_one_result(service, job_id, attempt=1)


def test_a_job_over_its_deadline_says_so_and_the_next_one_runs(tmp_path: Path) -> None:
    with serving(tmp_path, max_job_seconds=3) as service:
        endless = mlp(20, "Sigmoid", xavier(), width=256)
        job_id = service.submit(model=endless, batch=BATCH, options=thorough(seed=17))
        assert service.until_end(job_id)["state"] == "expired"
        problem = refused(service.get(f"/v1/analyses/{job_id}/report"))
        assert (problem.code, problem.status) == ("job-expired", 422)
        assert "longer than 3 s" in problem.detail
        wait_until(lambda: service.child(job_id) is None, "the child has ended")
        quick = service.post(model=HEALTHY, batch=BATCH, options='{"effort": "quick"}')
        assert quick.status_code == HTTPStatus.OK, quick.text
        assert_nothing_half_written(service)


def test_two_slots_run_two_jobs_side_by_side(service: Service) -> None:
    jobs = [long_job(service, seed) for seed in (18, 19)]
    children = {service.until_at_work(job_id) for job_id in jobs}
    assert [service.view(job_id)["state"] for job_id in jobs] == ["running", "running"]
    assert len(children) == 2
    for job_id in jobs:
        service.until_end(job_id)  # both, before the object store is looked at: one may write while the other is done
    for job_id in jobs:
        assert_one_result(service, job_id, attempt=1)
    started, finished = zip(*((row.started, row.finished) for row in map(service.row, jobs)), strict=True)
    assert max(started) < min(finished)
