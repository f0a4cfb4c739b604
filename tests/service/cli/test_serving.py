import socket
from pathlib import Path

import pytest
import typer

from service.cli._serving import serve_until_interrupted


def test_an_address_that_is_taken_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(typer.Exit) as raised:
            serve_until_interrupted(host="127.0.0.1", port=port, data_dir=tmp_path)
    assert raised.value.exit_code == 1
    assert f"cannot serve on 127.0.0.1 port {port} from {tmp_path}" in capsys.readouterr().err


def test_an_address_that_others_reach_is_not_served_without_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADIENT_HEALTH_AUTH", raising=False)
    monkeypatch.delenv("GRADIENT_HEALTH_ALLOW_UNPROTECTED", raising=False)
    with pytest.raises(
        typer.BadParameter, match=r"^0\.0\.0\.0 can be reached .* GRADIENT_HEALTH_AUTH=keys .*"
    ) as raised:
        serve_until_interrupted(host="0.0.0.0", port=0, data_dir=tmp_path / "data")
    assert "GRADIENT_HEALTH_ALLOW_UNPROTECTED=1" in raised.value.message
    assert not (tmp_path / "data").exists(), "before anything is done"


def test_a_setting_that_is_none_is_named() -> None:
    with pytest.raises(typer.BadParameter, match="port: "):
        serve_until_interrupted(host=None, port=70_000, data_dir=None)
