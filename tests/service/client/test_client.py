"""The client against the real application, over a bridge instead of a socket."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from analysis.errors import BadOptions
from analysis.experiment.export import Destination
from analysis.options import AnalysisOptions, Effort, parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from service.api.context import Parts
from service.app import create_app
from service.client import Client
from service.client.errors import Busy, Conflict, Gone, NotFound, NotTheService, WaitedTooLong
from service.jobs.job import Job, State, now
from service.problems import ProblemError, problem
from service.settings import Settings
from tests.gallery import he, mlp, vectors, xavier
from tests.service.application import Bridge, client_of
from tests.service.server.live import live
from tests.variant_ids import without_steps

NOWHERE = "http://127.0.0.1:1"
"""Port 1 is reserved and closed."""


def answering(response: httpx.Response) -> Client:
    return client_of(httpx.MockTransport(lambda _: response))


@pytest.fixture
def app(tmp_path: Path) -> Iterator[FastAPI]:
    made = create_app(Settings(data_dir=tmp_path / "data"))
    yield made
    made.state.parts.store.close()


@pytest.fixture
def client(app: FastAPI) -> Client:
    return client_of(Bridge(app))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    model, batch = tmp_path / "network.onnx", tmp_path / "batch.npz"
    model.write_bytes(mlp(3, "Relu", he(), width=16))
    batch.write_bytes(vectors())
    return model, batch


@pytest.fixture(scope="session")
def report() -> Report:
    return analyze(mlp(3, "Relu", he(), width=16), vectors(), parse_options({"effort": "quick"}))


@contextmanager
def listening(app: FastAPI) -> Iterator[str]:
    """A real server, for what is told while it happens; its address."""
    parts = app.state.parts
    with live(app, parts.settings, parts.drain) as server:
        yield f"http://127.0.0.1:{server.address[1]}"


@contextmanager
def worker(app: FastAPI, work: Callable[[Parts, Job], object]) -> Iterator[None]:
    """Does the next job in the background."""
    parts, over = app.state.parts, threading.Event()

    def claim() -> None:
        while not over.wait(0.02):
            if (job := parts.store.claim("worker", now())) is not None:
                work(parts, job)
                return

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(claim)
        try:
            yield
        finally:
            over.set()
        working.result()


def test_what_is_submitted_arrives_as_it_was(app: FastAPI, client: Client, files: tuple[Path, Path]) -> None:
    model, batch = files
    job = client.submit(model, batch, AnalysisOptions(seed=7, effort=Effort.QUICK))
    assert job.state is State.QUEUED
    parts = app.state.parts
    question = parts.store.claim("worker", now()).question
    assert question.model_name == "network.onnx"
    assert parts.objects.get(question.model_sha256) == model.read_bytes()
    assert parts.objects.get(question.batch_sha256) == batch.read_bytes()
    assert parse_options(question.options) == AnalysisOptions(seed=7, effort=Effort.QUICK)


def test_a_model_alone_may_be_submitted(app: FastAPI, client: Client, files: tuple[Path, Path]) -> None:
    client.submit(files[0])
    question = app.state.parts.store.claim("worker", now()).question
    assert question.batch_sha256 is None
    assert parse_options(question.options) == AnalysisOptions()


def test_data_files_are_sent_along_under_their_names(
    app: FastAPI, client: Client, files: tuple[Path, Path], tmp_path: Path
) -> None:
    beside = [tmp_path / "weights.bin", tmp_path / "more.bin"]
    for path in beside:
        path.write_bytes(path.name.encode())
    job = app.state.parts.store.get(client.submit(files[0], data_files=beside).id)
    sent = {name: app.state.parts.objects.get(sha256) for name, sha256 in job.question.data_files.items()}
    assert sent == {"weights.bin": b"weights.bin", "more.bin": b"more.bin"}


def test_submitting_does_not_wait(app: FastAPI, client: Client, files: tuple[Path, Path]) -> None:
    """The application's default is to wait for 30 s."""
    job = client.submit(files[0])
    assert client.job(job.id).state is State.QUEUED
    app.state.parts.store.claim("worker", now())
    assert client.job(job.id).state is State.RUNNING


def test_an_analysis_is_followed_to_its_report(app: FastAPI, files: tuple[Path, Path], report: Report) -> None:
    told = threading.Event()
    seen: list[tuple[str, float]] = []

    def progress(stage: str, fraction: float) -> None:
        seen.append((stage, fraction))
        if stage == "probe":
            told.set()

    def work(parts: Parts, job: Job) -> None:
        parts.store.keep(job, now(), "probe", 0.5)
        assert told.wait(10)
        blob = parts.objects.put(report.to_json())
        parts.store.finish(job, State.SUCCEEDED, now(), report=blob.sha256)

    with listening(app) as url, worker(app, work), Client(url) as client:
        found = client.analyze(*files, progress=progress)
        assert found == report.model_copy(update={"id": found.id})
    assert ("probe", 0.5) in seen


def test_models_of_remedies_and_of_what_was_asked_for_are_fetched_whole(
    app: FastAPI, client: Client, files: tuple[Path, Path], tmp_path: Path
) -> None:
    options, made = AnalysisOptions(variants=("selu",)), tmp_path / "made"
    sick = analyze(mlp(12, "Sigmoid", xavier()), vectors(), options, models=Destination(made))
    best = sick.remedies[0].variant

    def work(parts: Parts, job: Job) -> None:
        for path in made.iterdir():
            parts.objects.put(path.read_bytes())
        blob = parts.objects.put(sick.to_json())
        parts.store.finish(job, State.SUCCEEDED, now(), report=blob.sha256)

    with worker(app, work):
        client.analyze(*files, options, models=tmp_path / "fetched")
    fetched = {path.name: path.read_bytes() for path in (tmp_path / "fetched").iterdir()}
    assert {f"{without_steps(name)}.onnx" for name in (best, "selu")} <= fetched.keys()
    assert "baseline.onnx" not in fetched
    assert all((made / name).read_bytes() == content for name, content in fetched.items())


def test_a_failed_analysis_raises_its_problem(app: FastAPI, client: Client, files: tuple[Path, Path]) -> None:
    stored = problem("unsupported-operator", HTTPStatus.UNPROCESSABLE_ENTITY, "Det", where="node 'det'", hint="export")

    def work(parts: Parts, job: Job) -> None:
        parts.store.finish(job, State.FAILED, now(), error=stored.model_dump())

    with worker(app, work), pytest.raises(ProblemError) as failed:
        client.analyze(*files)
    told = failed.value.problem
    assert (told.code, told.detail, told.where, told.hint) == ("unsupported-operator", "Det", "node 'det'", "export")


def test_a_refused_upload_raises_its_problem(tmp_path: Path, client: Client) -> None:
    empty = tmp_path / "empty.onnx"
    empty.touch()
    with pytest.raises(ProblemError, match="the model is empty"):
        client.submit(empty)


def test_a_job_nobody_knows_raises_its_problem(client: Client) -> None:
    with pytest.raises(ProblemError) as refused:
        client.job("unknown")
    assert refused.value.problem.status == HTTPStatus.NOT_FOUND


def test_a_report_that_is_not_there_yet_raises_its_problem(client: Client, files: tuple[Path, Path]) -> None:
    job = client.submit(*files)
    with pytest.raises(ProblemError, match="queued"):
        client.report(job.id)


def test_the_service_is_ready_when_it_says_so(app: FastAPI, client: Client) -> None:
    assert not client.ready()
    app.state.parts.store.seen("worker", now(), ready=True)
    assert client.ready()


def test_where_no_service_is_nothing_is_ready_and_submitting_raises(files: tuple[Path, Path]) -> None:
    client = Client(NOWHERE)
    assert not client.ready()
    with pytest.raises(httpx.ConnectError):
        client.submit(*files)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, html="<h1>Bad gateway</h1>"),
        httpx.Response(200, html="<h1>Sign in</h1>"),
        httpx.Response(302, headers={"Location": "http://elsewhere/"}),
        httpx.Response(404, json={"detail": "Not Found"}),
        httpx.Response(200, json={}),
        httpx.Response(500),
    ],
    ids=lambda response: f"{response.status_code} {response.text[:10]}",
)
def test_an_answer_of_somebody_else_is_a_problem_of_the_service(
    files: tuple[Path, Path], answer: httpx.Response
) -> None:
    client = answering(answer)
    for question in (lambda: client.submit(*files), lambda: client.job("id"), lambda: client.report("id")):
        with pytest.raises(ProblemError, match=f"http://localhost.* answered {answer.status_code}") as failed:
            question()
        assert failed.value.problem.status == HTTPStatus.BAD_GATEWAY


@pytest.mark.parametrize(
    ("of_the_environment", "given", "sent"),
    [
        (None, None, None),
        ("", None, None),
        ("gh_environment\n", None, "Bearer gh_environment"),
        ("gh_environment", "gh_given", "Bearer gh_given"),
        ("gh_environment", "", None),
    ],
)
def test_a_client_sends_the_key_that_it_is_given_or_finds(
    monkeypatch: pytest.MonkeyPatch, of_the_environment: str | None, given: str | None, sent: str | None
) -> None:
    monkeypatch.delenv("GRADIENT_HEALTH_API_KEY", raising=False)
    if of_the_environment is not None:
        monkeypatch.setenv("GRADIENT_HEALTH_API_KEY", of_the_environment)
    assert Client(NOWHERE, given)._http.headers.get("authorization") == sent


@pytest.mark.parametrize("key", ["gh_secret\nX-Other: 1", "gh_\u00e4secret"])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(BadOptions, match="the API key has characters that no key has") as raised:
        Client(NOWHERE, key)
    assert raised.value.where == "GRADIENT_HEALTH_API_KEY"
    assert "secret" not in str(raised.value)


def test_a_slash_at_the_end_of_the_address_does_not_matter() -> None:
    assert Client("http://localhost/")._http.base_url == Client("http://localhost")._http.base_url


def finish(app: FastAPI, report: Report) -> None:
    """The next job ends with this report."""
    parts = app.state.parts
    parts.store.finish(
        parts.store.claim("worker", now()), State.SUCCEEDED, now(), report=parts.objects.put(report.to_json()).sha256
    )


def test_labels_are_kept_and_jobs_found_by_them(app: FastAPI, client: Client, files: tuple[Path, Path]) -> None:
    ids = [client.submit(*files, labels={"project": name}).id for name in ("a", "b", "a")]
    app.state.parts.store.claim("worker", now())
    assert [job.id for job in client.jobs()] == ids[::-1]
    assert [job.id for job in client.jobs(labels={"project": "a"})] == [ids[2], ids[0]]
    assert [job.id for job in client.jobs(["running"])] == [ids[0]]
    with pytest.raises(BadOptions, match="'owner' is no label"):
        client.submit(*files, labels={"owner": "me"})


def test_jobs_are_listed_page_by_page(client: Client) -> None:
    ids = {client.submit(b"model %d" % each).id for each in range(53)}
    listed = [job.id for job in client.jobs()]
    assert len(listed) == 53
    assert set(listed) == ids


def test_a_submission_that_is_sent_twice_is_one_job(client: Client, files: tuple[Path, Path]) -> None:
    """The first answer is lost on the way."""
    bridge, lost = client._http._transport, []

    def losing(request: httpx.Request) -> httpx.Response:
        response = bridge.handle_request(request)
        if request.method == "POST" and not lost:
            lost.append(response)
            raise httpx.ReadError("hung up")
        return response

    retrying = Client("http://localhost", transport=httpx.MockTransport(losing), retries=1)
    assert retrying.submit(*files).id == lost[0].json()["id"]
    assert len(list(client.jobs())) == 1
    assert client.submit(*files).id != client.submit(*files).id
    assert client.submit(*files, idempotency_key="k").id == client.submit(*files, idempotency_key="k").id


def test_without_retries_a_busy_service_is_told_with_its_time(files: tuple[Path, Path]) -> None:
    told = problem("busy", HTTPStatus.SERVICE_UNAVAILABLE, "full").model_dump_json()
    with pytest.raises(Busy, match="full") as raised:
        answering(httpx.Response(503, content=told, headers={"Retry-After": "2"})).submit(*files)
    assert raised.value.retry_after == 2.0


def test_a_job_is_followed_state_by_state(app: FastAPI, files: tuple[Path, Path], report: Report) -> None:
    with listening(app) as url, Client(url) as client:
        job = client.submit(*files)
        states = []
        for told in client.follow(job.id):
            states.append(told.state)
            if told.state is State.QUEUED:
                finish(app, report)
    assert (states[0], states[-1]) == (State.QUEUED, State.SUCCEEDED)


def test_who_stops_following_hangs_up(app: FastAPI, files: tuple[Path, Path]) -> None:
    with listening(app) as url, Client(url) as client:
        following = client.follow(client.submit(*files).id)
        next(following)
        following.close()
        assert not client._http._transport._pool.connections or all(
            each.is_idle() or each.is_closed() for each in client._http._transport._pool.connections
        )


def test_an_error_of_the_callback_comes_out(app: FastAPI, files: tuple[Path, Path]) -> None:
    def progress(stage: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with listening(app) as url, Client(url) as client, pytest.raises(KeyboardInterrupt):
        client.analyze(*files, progress=progress)


def test_an_analysis_is_not_waited_for_longer_than_was_said(client: Client, files: tuple[Path, Path]) -> None:
    job = client.submit(*files)
    with pytest.raises(WaitedTooLong):
        client.wait(job.id, timeout=0.05)
    assert client.job(job.id).state is State.QUEUED


def test_a_job_can_be_cancelled_and_forgotten(client: Client, files: tuple[Path, Path]) -> None:
    job = client.submit(*files)
    assert client.cancel(job.id).state is State.CANCELLED
    assert client.wait(job.id).state is State.CANCELLED
    client.delete(job.id)
    client.delete(job.id)
    with pytest.raises(Gone):
        client.job(job.id)
    with pytest.raises(NotFound):
        client.delete("unknown")


def test_what_has_ended_cannot_be_cancelled(app: FastAPI, client: Client, report: Report) -> None:
    job = client.submit(b"model")
    finish(app, report)
    with pytest.raises(Conflict):
        client.cancel(job.id)


def test_a_report_comes_in_any_format(app: FastAPI, client: Client, report: Report) -> None:
    job = client.submit(b"model")
    finish(app, report)
    assert client.report(job.id).verdict is report.verdict
    assert "<testsuite" in client.report_as(job.id, "junit.xml")
    with pytest.raises(NotFound):
        client.report_as(job.id, "docx")


def test_jobs_and_reports_are_compared(app: FastAPI, client: Client, report: Report) -> None:
    job = client.submit(b"model")
    finish(app, report)
    told = client.compare(job.id, report)
    assert not told.regression
    sick = analyze(mlp(12, "Sigmoid", xavier(), width=16), vectors(), parse_options({"effort": "quick"}))
    worse = client.compare(job.id, sick, fail_on="error")
    assert worse.regression
    assert (worse.verdict.old, worse.verdict.new) == (report.verdict, sick.verdict)


def test_a_model_that_is_not_the_promised_one_is_not_kept(tmp_path: Path) -> None:
    options, made = AnalysisOptions(variants=("selu",), effort=Effort.QUICK), tmp_path / "made"
    sick = analyze(mlp(3, "Relu", he(), width=16), vectors(), options, models=Destination(made))
    fake = answering(httpx.Response(200, content=b"another model"))
    with pytest.raises(NotTheService):
        fake.fetch_models("j", sick, tmp_path / "fetched", [each.id for each in sick.variants])
    assert not list((tmp_path / "fetched").iterdir())
