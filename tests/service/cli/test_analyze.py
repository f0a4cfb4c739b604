"""The command as a pipeline sees it: exit code, one line on stderr, a report written whole or not at all."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from analysis.errors import BadOptions
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.render.formats import BY_NAME, Publication
from analysis.render.html import render_html
from analysis.report import Report, Verdict
from analysis.report.gate import Gate
from service.app import create_app
from service.cli import app
from service.jobs.job import Job, State, now
from service.problems import Problem
from service.settings import Settings
from tests.analysis.comparison.small_reports import found, small_report
from tests.gallery import he, mlp, npz, vectors, xavier
from tests.service.application import Bridge, client_of
from tests.variant_ids import without_steps

HEALTHY, SICK = mlp(3, "Relu", he(), width=16), mlp(12, "Sigmoid", xavier(), width=16)
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with models in it, and a terminal of known width."""
    for name, content in {"healthy.onnx": HEALTHY, "sick.onnx": SICK, "batch.npz": vectors()}.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "noise.onnx").write_bytes(b"hello, I am no model at all")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


def run(*arguments: str) -> Result:
    outcome = CliRunner().invoke(app, ["analyze", *arguments])
    assert outcome.exception is None or isinstance(outcome.exception, SystemExit), outcome.exception
    return outcome


def refused(*arguments: str, code: int = 2) -> str:
    """The one line that is said."""
    outcome = run(*arguments)
    assert outcome.exit_code == code, outcome.stderr
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 1
    assert "Traceback" not in outcome.stderr
    return outcome.stderr


def misused(*arguments: str) -> str:
    """What typer says of arguments that do not exist, in a box."""
    outcome = run(*arguments)
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "Usage:" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    return outcome.stderr


# ------------------------------------------------------------------ here


def test_a_healthy_network_exits_with_0() -> None:
    outcome = run("healthy.onnx", "batch.npz")
    assert outcome.exit_code == 0
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("healthy.onnx: HEALTHY\n")


def test_a_sick_network_exits_with_1_and_says_what_is_wrong_and_what_helps() -> None:
    outcome = run("sick.onnx", "batch.npz")
    assert outcome.exit_code == 1
    assert outcome.stderr == ""
    assert outcome.stdout.startswith("sick.onnx: UNHEALTHY\n")
    assert "GH101 vanishing-gradient" in outcome.stdout
    assert "remedies" in outcome.stdout


def test_a_batch_may_be_left_out() -> None:
    outcome = run("healthy.onnx", "--effort", "quick")
    assert outcome.exit_code == 0
    assert "HEALTHY" in outcome.stdout


@pytest.mark.parametrize("fail_on", ["error", "warning", "info", "error,inconclusive", "inconclusive"])
def test_a_sick_network_fails_every_gate(fail_on: str) -> None:
    assert run("sick.onnx", "batch.npz", "--effort", "quick", "--fail-on", fail_on).exit_code == 1


@pytest.mark.parametrize("fail_on", ["error", "warning", "info", "error,inconclusive"])
def test_a_healthy_network_passes_every_gate(fail_on: str) -> None:
    assert run("healthy.onnx", "batch.npz", "--effort", "quick", "--fail-on", fail_on).exit_code == 0


@pytest.mark.parametrize("fail_on", ["critical", "", "error,warning"])
def test_what_is_no_gate_is_refused_before_anything_is_computed(fail_on: str) -> None:
    assert "fail_on: " in refused("noise.onnx", "--fail-on", fail_on)


def test_the_report_is_written_whole(tmp_path: Path) -> None:
    outcome = run("sick.onnx", "batch.npz", "--effort", "quick", "--json", "report.json")
    assert outcome.exit_code == 1
    written = Report.from_json((tmp_path / "report.json").read_bytes())
    assert written.verdict is Verdict.UNHEALTHY
    assert written.model.name == "sick.onnx"
    assert len(written.layers) == 12
    assert list(tmp_path.glob("*.part")) == []


def test_the_repaired_model_is_written_and_named(tmp_path: Path) -> None:
    outcome = run("sick.onnx", "batch.npz", "--json", "report.json", "--save-repaired", "new/repaired")
    report = Report.from_json((tmp_path / "report.json").read_bytes())
    best = without_steps(report.remedies[0].variant)
    assert outcome.stderr == f"best remedy: new/repaired/{best}.onnx\n"
    repaired = run(f"new/repaired/{best}.onnx", "batch.npz")
    assert repaired.exit_code == 0, repaired.stdout


def test_a_healthy_network_is_given_no_repaired_model(tmp_path: Path) -> None:
    outcome = run("healthy.onnx", "batch.npz", "--save-repaired", "repaired")
    assert (outcome.exit_code, outcome.stderr) == (0, "no remedy was proven: no model is written\n")
    assert list((tmp_path / "repaired").iterdir()) == []


def test_a_folder_for_models_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    told = refused("sick.onnx", "batch.npz", "--save-repaired", "batch.npz/models")
    assert told.startswith("error: batch.npz/models: cannot write models: ")


def test_the_page_is_written_whole_and_is_that_of_the_report(tmp_path: Path) -> None:
    run("sick.onnx", "batch.npz", "--effort", "quick", "--json", "report.json", "--html", "report.html")
    written = Report.from_json((tmp_path / "report.json").read_bytes())
    assert (tmp_path / "report.html").read_text() == render_html(written)
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.parametrize(("json", "html"), [("nowhere/report.json", "report.html"), ("report.json", "nowhere/r.html")])
def test_where_one_file_cannot_be_written_neither_is(tmp_path: Path, json: str, html: str) -> None:
    message = refused("healthy.onnx", "--effort", "quick", "--json", json, "--html", html)
    assert "nowhere/" in message
    assert "No such file or directory" in message
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("report")]


def test_one_file_for_both_is_refused_before_the_work(tmp_path: Path) -> None:
    message = refused("noise.onnx", "--json", "report", "--html", str(tmp_path / "report"))
    assert "json and html would both be written there" in message


def test_a_folder_that_is_a_file_is_refused_in_one_line() -> None:
    message = refused("healthy.onnx", "--effort", "quick", "--html", "batch.npz/report.html")
    assert "Not a directory" in message


def test_formats_are_written_beside_the_summary_or_printed_in_its_place(tmp_path: Path) -> None:
    formats = ("--format", "junit=junit.xml", "--format", "github", "--json", "report.json")
    outcome = run("sick.onnx", "batch.npz", "--effort", "quick", "--fail-on", "warning", *formats)
    written = Report.from_json((tmp_path / "report.json").read_bytes())
    publication = Publication(gate=Gate.parse("warning"), path="sick.onnx")
    assert outcome.stdout == BY_NAME["github"].render(written, publication)
    assert (tmp_path / "junit.xml").read_text() == BY_NAME["junit"].render(written, publication)


def test_what_is_printed_in_a_format_is_not_mixed_with_the_comparison(tmp_path: Path) -> None:
    run("sick.onnx", "batch.npz", "--effort", "quick", "--json", "old.json")
    outcome = run("sick.onnx", "batch.npz", "--effort", "quick", "--baseline", "old.json", "--format", "summary")
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["verdict"] == "unhealthy"
    assert "old.json" in outcome.stderr


def test_an_older_report_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("an older one")
    run("healthy.onnx", "--effort", "quick", "--json", "report.json")
    assert Report.from_json((tmp_path / "report.json").read_bytes()).verdict is Verdict.HEALTHY


def test_a_report_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    message = refused("healthy.onnx", "--effort", "quick", "--json", "nowhere/report.json")
    assert "nowhere/report.json" in message
    assert "No such file or directory" in message
    assert list(tmp_path.rglob("*.part")) == []


def test_a_refused_model_leaves_the_older_report_alone(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("an older one")
    refused("noise.onnx", "--json", "report.json")
    assert (tmp_path / "report.json").read_text() == "an older one"


def test_options_reach_the_analysis(tmp_path: Path) -> None:
    options = '{"effort": "quick", "freeze": ["w0"]}'
    run("healthy.onnx", "batch.npz", "--seed", "7", "--options", options, "--json", "r.json")
    written = Report.from_json((tmp_path / "r.json").read_bytes())
    expected = analyze(HEALTHY, vectors(), parse_options({"seed": 7, "effort": "quick", "freeze": ["w0"]}))
    assert written.id == expected.id
    assert [layer.id for layer in written.layers] == [layer.id for layer in expected.layers]
    assert written.id != analyze(HEALTHY, vectors(), parse_options({"effort": "quick"})).id


def test_the_number_of_processes_reaches_the_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def note(*arguments: object) -> None:
        told.append(arguments[-1])
        raise BadOptions("far enough")

    monkeypatch.setattr(sys.modules["service.cli.analyze"], "analyze_here", note)
    assert run("sick.onnx", "batch.npz", "--processes", "3").exit_code == 2
    assert run("sick.onnx", "batch.npz").exit_code == 2
    assert told == [3, None]


def test_a_flag_wins_over_the_same_option_in_json() -> None:
    assert "seed" in refused("healthy.onnx", "--options", '{"seed": 1}', "--seed", "-1")
    assert run("healthy.onnx", "--options", '{"seed": -1, "effort": "quick"}', "--seed", "1").exit_code == 2
    assert run("healthy.onnx", "--options", '{"effort": "thorough"}', "--effort", "quick").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["noise.onnx"], ["not an ONNX model"]),
        (["healthy.onnx", "noise.onnx"], ["batch"]),
        (["healthy.onnx", "--options", '{"learning_rat": 1}'], ["options.learning_rat", "unknown", "learning_rate"]),
        (["healthy.onnx", "--options", "{"], ["options", "not JSON"]),
        (["healthy.onnx", "--options", "[]"], ["options", "object"]),
        (["healthy.onnx", "--effort", "all"], ["options.effort", "'quick'"]),
        (["healthy.onnx", "--loss", "hinge"], ["options.loss"]),
        (["healthy.onnx", "--optimizer", "lion"], ["options.optimizer"]),
        (["healthy.onnx", "--learning-rate", "0"], ["options.learning_rate"]),
        (["healthy.onnx", "--minibatch-size", "0"], ["options.minibatch_size"]),
        (["healthy.onnx", "wrong.npz"], ["x", "[N, 32]", "[4, 31]"]),
        (["strange.onnx"], ["Det", "strange"]),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_input_exits_with_2_and_one_line_that_names_the_place(
    tmp_path: Path, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "wrong.npz").write_bytes(npz(x=np.zeros((4, 31), np.float32)))
    strange = "(float[4,2] x) => (float y) <float[2,2] W = {1,2,3,4}> { h = MatMul(x, W) [strange] y = Det(h) }"
    header = '<ir_version: 8, opset_import: ["" : 17]> test'
    model = onnx.parser.parse_model(f"{header} {strange}")
    (tmp_path / "strange.onnx").write_bytes(model.SerializeToString())
    message = refused(*arguments)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.onnx"], ["missing.onnx", "does not exist"]),
        (["healthy.onnx", "missing.npz"], ["missing.npz", "does not exist"]),
        (["healthy.onnx", "missing.npz", "--server", NOWHERE], ["missing.npz", "does not exist"]),
        (["."], ["directory"]),
        (["healthy.onnx", "."], ["directory"]),
        (["healthy.onnx", "--json", "."], ["directory"]),
        (["healthy.onnx", "--baseline", "."], ["directory"]),
        (["healthy.onnx", "--baseline", "missing.json"], ["missing.json", "does not exist"]),
        (["healthy.onnx", "--html", "."], ["directory"]),
        (["healthy.onnx", "--nonsense"], ["--nonsense"]),
        (["healthy.onnx", "--seed", "many"], ["--seed", "integer"]),
        ([], ["Missing argument", "model"]),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_names_the_argument(arguments: list[str], words: list[str]) -> None:
    message = misused(*arguments)
    for word in words:
        assert word.lower() in message.lower()


def test_help_names_every_option() -> None:
    outcome = run("--help")
    assert outcome.exit_code == 0
    for name in (
        "MODEL",
        "BATCH",
        "--json",
        "--html",
        "--server",
        "--fail-on",
        "--effort",
        "--seed",
        "--loss",
        "--optimizer",
        "--learning-rate",
        "--minibatch-size",
        "--options",
        "--save-repaired",
        "--baseline",
        "--config",
    ):
        assert name in outcome.stdout


# ------------------------------------------------------------------ beside a baseline


QUICK = ("batch.npz", "--effort", "quick")


def baseline(path: Path, *findings: dict[str, Any]) -> Path:
    """A report by hand of a network with the layers of the sick one."""
    layers = tuple(f"fc{number}" for number in range(12))
    report = small_report("unhealthy", *findings, layers=layers, engine={"effort": "quick"})
    path.write_text(json.dumps(report))
    return path


def test_known_findings_are_accepted_and_counted(tmp_path: Path) -> None:
    assert run("sick.onnx", *QUICK, "--json", "old.json").exit_code == 1
    findings = Report.from_json((tmp_path / "old.json").read_bytes()).findings
    for fail_on in ("error", "warning", "info", "error,inconclusive"):
        outcome = run("sick.onnx", *QUICK, "--baseline", "old.json", "--fail-on", fail_on)
        assert (outcome.exit_code, outcome.stderr) == (0, "")
        assert outcome.stdout.startswith("sick.onnx: UNHEALTHY\n")
        assert outcome.stdout.endswith(
            f"\nbaseline old.json: {len(findings)} known findings accepted, 0 new, 0 worsened, 0 gone\n"
        )


def test_a_new_finding_fails_from_the_severity_of_the_gate_on(tmp_path: Path) -> None:
    run("sick.onnx", *QUICK, "--json", "old.json")
    old = json.loads((tmp_path / "old.json").read_bytes())
    rules = {finding["severity"]: finding["rule"] for finding in old["findings"]}
    for severity, codes in {"error": (1, 1), "warning": (0, 1)}.items():
        known = [finding for finding in old["findings"] if finding["rule"] != rules[severity]]
        (tmp_path / "less.json").write_text(json.dumps(old | {"findings": known}))
        for fail_on, code in zip(("error", "warning"), codes, strict=True):
            outcome = run("sick.onnx", *QUICK, "--baseline", "less.json", "--fail-on", fail_on)
            assert outcome.exit_code == code
            assert f"{len(known)} known findings accepted, 1 new, 0 worsened, 0 gone\n" in outcome.stdout
            assert f"  gained    {severity:<8}{rules[severity]} " in outcome.stdout


def test_a_worsened_finding_fails_and_what_is_gone_does_not(tmp_path: Path) -> None:
    run("sick.onnx", *QUICK, "--json", "old.json")
    old = json.loads((tmp_path / "old.json").read_bytes())
    milder = [finding | {"severity": "warning"} for finding in old["findings"]]
    (tmp_path / "milder.json").write_text(json.dumps(old | {"findings": [*milder, found("GH105", "error")]}))
    errors = sum(finding["severity"] == "error" for finding in old["findings"])
    outcome = run("sick.onnx", *QUICK, "--baseline", "milder.json")
    assert outcome.exit_code == 1
    assert f"0 new, {errors} worsened, 1 gone" in outcome.stdout
    assert "severity warning, now error" in outcome.stdout


def test_a_baseline_that_was_written_by_hand_knows_layers_by_name(tmp_path: Path) -> None:
    """Its ids have a digit less."""
    path = baseline(tmp_path / "old.json", found("GH101", "error", *(f"layer-{number}" for number in range(1, 13))))
    outcome = run("sick.onnx", *QUICK, "--baseline", path.name)
    assert outcome.exit_code == 1  # there is more than vanishing
    assert "baseline old.json: 1 known finding accepted" in outcome.stdout
    assert "GH101" not in outcome.stdout.partition("baseline old.json")[2]


def test_a_healthy_network_passes_beside_any_baseline(tmp_path: Path) -> None:
    path = baseline(tmp_path / "old.json", found("GH105", "error"))
    outcome = run("healthy.onnx", *QUICK, "--baseline", path.name)
    assert outcome.exit_code == 0
    assert "0 known findings accepted, 0 new, 0 worsened, 1 gone" in outcome.stdout


def test_what_is_no_baseline_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"schema_version": "1.0"}')
    assert "old.json: verdict: " in refused("noise.onnx", "--baseline", "old.json")


def test_a_baseline_can_be_replaced_by_the_new_report(tmp_path: Path) -> None:
    baseline(tmp_path / "old.json", found("GH105", "error"))
    assert run("sick.onnx", *QUICK, "--baseline", "old.json", "--json", "old.json").exit_code == 1
    assert run("sick.onnx", *QUICK, "--baseline", "old.json", "--json", "old.json").exit_code == 0


# ------------------------------------------------------------------ on a server


class Server(Bridge):
    """The real application, whose jobs end at once as a test says."""

    def __init__(self, folder: Path) -> None:
        super().__init__(create_app(Settings(data_dir=folder)))
        self.parts = self.app.state.parts
        self.end: dict[str, Any] = {}
        self.ended: list[Job] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        if request.method == "POST":
            job = self.parts.store.claim("worker", now())
            self.parts.store.finish(job, at=now(), **self.end)
            self.ended.append(job)
        return response


def reach(monkeypatch: pytest.MonkeyPatch, transport: httpx.BaseTransport) -> None:
    """Whatever address is given leads there."""
    monkeypatch.setattr("service.cli._there.Client", lambda _: client_of(transport))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(tmp_path / "data")
    reach(monkeypatch, made)
    yield made
    made.parts.store.close()


@pytest.mark.parametrize("address", [NOWHERE, "https://127.0.0.1:1/", "localhost:1", "ftp://127.0.0.1/", ""])
def test_a_server_that_is_not_there_exits_with_3_and_is_named(address: str) -> None:
    assert f"no answer from {address}" in refused("healthy.onnx", "--server", address, code=3)


@pytest.mark.parametrize("address", ["http://[::1", "http://host:port/"])
def test_an_address_that_is_none_exits_with_2(address: str) -> None:
    assert address in refused("healthy.onnx", "--server", address)


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        (422, State.FAILED, 2),
        (400, State.FAILED, 2),
        (429, State.FAILED, 3),
        (500, State.FAILED, 3),
        (422, State.EXPIRED, 2),
    ],
)
def test_a_job_that_fails_on_the_server_exits_by_its_status(
    server: Server, status: int, state: State, code: int
) -> None:
    told = Problem(type="urn:x", title="X", status=status, detail="it went wrong", code="x", where="here", hint="try y")
    server.end = {"state": state, "error": told.model_dump()}
    assert refused("healthy.onnx", "--server", "http://localhost", code=code) == "error: here: it went wrong (try y)\n"


def test_files_that_weights_lie_in_are_sent_to_the_server(server: Server) -> None:
    proto = onnx.load_from_string(HEALTHY)
    onnx.save(proto, "outside.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    told = Problem(type="urn:x", title="X", status=422, detail="it went wrong", code="x")
    server.end = {"state": State.FAILED, "error": told.model_dump()}
    refused("outside.onnx", "--server", "http://test")
    (job,) = server.ended
    assert server.parts.objects.get(job.question.data_files["weights.bin"]) == Path("weights.bin").read_bytes()


def test_a_proxy_that_answers_for_the_server_exits_with_3(monkeypatch: pytest.MonkeyPatch) -> None:
    reach(monkeypatch, httpx.MockTransport(lambda _: httpx.Response(502, html="<h1>Bad gateway</h1>")))
    assert "502" in refused("healthy.onnx", "--server", "http://localhost", code=3)


@pytest.mark.parametrize(("model", "code"), [(HEALTHY, 0), (SICK, 1)], ids=["healthy", "sick"])
def test_a_report_from_the_server_is_printed_and_judged_like_one_from_here(
    server: Server, tmp_path: Path, model: bytes, code: int
) -> None:
    report = analyze(model, vectors(), parse_options({"effort": "quick"}))
    server.end = {"state": State.SUCCEEDED, "report": server.parts.objects.put(report.to_json()).sha256}
    files = ("--json", "report.json", "--html", "report.html")
    outcome = run("healthy.onnx", "batch.npz", "--server", "http://localhost", *files)
    assert (outcome.exit_code, outcome.stderr) == (code, "")
    assert outcome.stdout.startswith("mlp: ")
    told = Report.from_json((tmp_path / "report.json").read_bytes())
    assert told == report.model_copy(update={"id": told.id})
    assert (tmp_path / "report.html").read_text() == render_html(told)


@pytest.mark.parametrize(("model", "code"), [(HEALTHY, 1), (SICK, 0)], ids=["healthy", "sick"])
def test_a_baseline_counts_for_a_report_from_the_server_too(
    server: Server, tmp_path: Path, model: bytes, code: int
) -> None:
    quick = parse_options({"effort": "quick"})
    (tmp_path / "old.json").write_bytes(analyze(model, vectors(), quick).to_json())
    report = analyze(SICK, vectors(), quick)
    server.end = {"state": State.SUCCEEDED, "report": server.parts.objects.put(report.to_json()).sha256}
    outcome = run("sick.onnx", "batch.npz", "--server", "http://localhost", "--baseline", "old.json")
    assert (outcome.exit_code, outcome.stderr) == (code, "")
    accepted = 0 if code else len(report.findings)
    assert f"baseline old.json: {accepted} known findings accepted" in outcome.stdout


def test_a_file_of_options_counts_and_the_command_line_wins(tmp_path: Path) -> None:
    said = 'effort = "quick"\nfail-on = "error"\nignore = ["GH1", "GH2", "GH3"]'
    (tmp_path / "gradient-health.toml").write_text(said)
    assert run("sick.onnx", "batch.npz").exit_code == 0
    assert run("sick.onnx", "batch.npz", "--fail-on", "warning").exit_code == 1  # flow is red, whoever may say so
    assert run("sick.onnx", "batch.npz", "--ignore", "GH3").exit_code == 1
    other = tmp_path / "other.toml"
    other.write_text("seed = 5")
    assert run("sick.onnx", "batch.npz", "--effort", "quick", "--config", str(other)).exit_code == 1


def test_a_file_with_an_unknown_option_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "gradient-health.toml").write_text("efort = 1")
    said = refused("sick.onnx", "batch.npz")
    assert "gradient-health.toml" in said
    assert "efort" in said
