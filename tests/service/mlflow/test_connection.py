"""What is asked of a tracking server, and what is made of its answers."""

import io

import httpx
import pytest

from service.mlflow.connection import Connection, MlflowBusyError, MlflowError
from tests.service.mlflow.server import Tracking


def answering(status: int, **content: str) -> Connection:
    return Connection("http://test", transport=httpx.MockTransport(lambda _: httpx.Response(status, **content)))  # type: ignore[arg-type]


def test_a_server_that_refuses_or_is_another_is_told() -> None:
    with pytest.raises(MlflowError, match=r"GET /api/2.0/mlflow/runs/get: 403 no"):
        answering(403, text="no").get("runs/get", run_id="r")
    with pytest.raises(MlflowError, match="not answer as MLflow"):
        answering(200, text="<h1>Sign in</h1>").post("runs/create", {})
    with pytest.raises(MlflowBusyError):
        answering(503, text="starting").get("runs/get")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_what_will_not_pass_is_no_outage(status: int) -> None:
    with pytest.raises(MlflowError) as raised:
        answering(status).get("runs/get")
    assert not isinstance(raised.value, MlflowBusyError)


def test_artifacts_that_the_server_does_not_hand_on_are_told_with_the_way_out() -> None:
    connection = Tracking().connection
    for ask in (lambda: connection.put("s3://bucket/7", "a", b""), lambda: connection.names_in("/tmp/runs")):
        with pytest.raises(MlflowError, match="--serve-artifacts"):
            ask()


@pytest.mark.parametrize(
    "root", ["mlflow-artifacts:/7/m", "mlflow-artifacts://host:5000/7/m/", "mlflow-artifacts:///7/m"]
)
def test_a_folder_is_the_same_however_its_address_is_written(root: str) -> None:
    tracking = Tracking()
    tracking.connection.put(root, "a b.onnx", b"model")
    assert tracking.files == {"7/m/a b.onnx": b"model"}
    tracking.files["7/m/sub/c"] = b"deeper"
    assert tracking.connection.names_in(root) == {"a b.onnx": 5}
    into = io.BytesIO()
    tracking.connection.fetch(root, "a b.onnx", into, 5)
    assert into.getvalue() == b"model"


def test_a_file_that_is_longer_than_announced_is_not_taken() -> None:
    tracking = Tracking(files={"7/m/a": bytes(100)})
    with pytest.raises(MlflowError, match="longer than the 99 bytes"):
        tracking.connection.fetch("mlflow-artifacts:/7/m", "a", io.BytesIO(), 99)


def test_credentials_are_those_that_clients_of_mlflow_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def headers() -> httpx.Headers:
        sent: list[httpx.Headers] = []
        connection = Connection.from_environment("http://test")
        transport = httpx.MockTransport(lambda request: (sent.append(request.headers), httpx.Response(200, json={}))[1])
        connection._http = httpx.Client(
            base_url="http://test", transport=transport, auth=connection._http.auth, headers=connection._http.headers
        )
        connection.get("runs/get")
        return sent[0]

    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    assert "authorization" not in headers()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0k")
    assert headers()["authorization"] == "Bearer t0k"
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pw")
    assert headers()["authorization"] == "Basic bWU6cHc="
