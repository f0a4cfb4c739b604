from pathlib import Path

import httpx
import pytest

from analysis.errors import BadOptions
from analysis.options import parse_options
from service.cli._there import analyze_there
from service.problems import ProblemError
from tests.gallery import he, mlp
from tests.service.application import client_of


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "m.onnx").write_bytes(mlp(3, "Relu", he(), width=16))
    return tmp_path / "m.onnx"


def ask(server: str, model: Path) -> None:
    analyze_there(server, model, None, parse_options({}), None, lambda *_: None)


def test_nobody_at_the_address_is_told_with_it(model: Path) -> None:
    with pytest.raises(ProblemError, match=r"no answer from http://127\.0\.0\.1:1: ") as raised:
        ask("http://127.0.0.1:1", model)
    assert raised.value.problem.status == 503


def test_what_is_no_address_is_the_fault_of_the_option(model: Path) -> None:
    with pytest.raises(BadOptions) as raised:
        ask("http://[::1", model)
    assert raised.value.where == "--server"


def test_what_the_service_refuses_is_handed_on(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing = httpx.MockTransport(lambda _: httpx.Response(502, html="<h1>Bad gateway</h1>"))
    monkeypatch.setattr("service.cli._there.Client", lambda _: client_of(refusing))
    with pytest.raises(ProblemError) as raised:
        ask("http://somewhere", model)
    assert raised.value.problem.status == 502
