"""Registered versions: their tags and their files."""

from pathlib import Path

import pytest

from service.mlflow.connection import MlflowError
from service.mlflow.runs import tags_of
from service.mlflow.versions import Version, fetch, set_tag, tag_verdict, tagged, tags_at
from tests.analysis.render.pages import by_hand
from tests.service.mlflow.server import Tracking

NET = Version("net", "3")
LARGE = 1 << 20


def test_a_version_is_written_as_its_name_and_number() -> None:
    assert Version.parse("team/net/3") == Version("team/net", "3")
    assert str(NET) == "net/3"
    for wrong in ("net", "net/", "/3", ""):
        with pytest.raises(ValueError, match="net/3"):
            Version.parse(wrong)


def test_a_registered_version_gets_the_verdict_and_the_run() -> None:
    report, tracking = by_hand(), Tracking()
    tracking.register("net", "3", {})
    tag_verdict(tracking.connection, NET, report, "r")
    told = tracking.versions["net", "3"]
    assert told == {**tags_of(report), "gradient_health.run_id": "r"}
    assert (told["gradient_health.verdict"], told["gradient_health.cause"]) == ("unhealthy", "GH101")
    assert tags_at(tracking.connection, NET) == told
    set_tag(tracking.connection, NET, "long", "x" * 9000)
    assert len(told["long"]) == 5000


def test_versions_are_found_by_their_tag_on_all_pages() -> None:
    tracking = Tracking()
    for number in range(5):
        tracking.register("net", str(number), {})
        set_tag(tracking.connection, Version("net", str(number)), "state", "queued" if number != 2 else "done")
    found = list(tagged(tracking.connection, "state", "queued"))
    assert found == [Version("net", number) for number in "0134"]


def test_a_version_that_is_not_there_is_an_error() -> None:
    with pytest.raises(MlflowError, match="404"):
        tags_at(Tracking().connection, NET)


def test_the_model_is_fetched_with_what_its_weights_lie_in_and_its_batch(tmp_path: Path) -> None:
    tracking = Tracking()
    files = {"model.onnx": b"model", "5c1f-weights": b"weights", "batch.npz": b"batch"}
    tracking.register(
        "net", "3", {**files, "conda.yaml": b"", "requirements.txt": b"", "other.onnx": b"", "code/a": b""}
    )
    found = fetch(tracking.connection, NET, tmp_path, LARGE)
    assert found is not None
    assert (found.model, found.batch) == (tmp_path / "model.onnx", tmp_path / "batch.npz")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_a_model_of_another_name_is_found_and_one_of_another_kind_is_not(tmp_path: Path) -> None:
    tracking = Tracking()
    tracking.register("net", "3", {"resnet.onnx": b"model"})
    tracking.register("forest", "1", {"model.pkl": b"", "MLmodel": b""})
    found = fetch(tracking.connection, NET, tmp_path, LARGE)
    assert found is not None
    assert (found.model.name, found.batch) == ("resnet.onnx", None)
    assert fetch(tracking.connection, Version("forest", "1"), tmp_path, LARGE) is None


@pytest.mark.parametrize(
    ("files", "most", "told"),
    [
        ({"a.onnx": b"", "b.onnx": b""}, LARGE, "a.onnx, b.onnx"),
        ({"model.onnx": bytes(60), "weights": bytes(60)}, 100, "120 bytes, and 100 are the limit"),
        ({"model.onnx": b"", "..": b""}, LARGE, "'..' is no name of a file"),
    ],
)
def test_what_cannot_be_told_apart_is_too_large_or_leads_elsewhere_is_refused(
    files: dict[str, bytes], most: int, told: str, tmp_path: Path
) -> None:
    tracking = Tracking()
    tracking.register("net", "3", files)
    with pytest.raises(MlflowError, match=told):
        fetch(tracking.connection, NET, tmp_path, most)
