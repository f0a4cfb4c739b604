"""What a child left, honest or not; reports are real."""

import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.clock import Clock
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from service.objects.folder import ObjectFolder
from service.worker import results
from service.worker.results import BadResultError, store_results
from tests.gallery import mlp, vectors, xavier

ROOM = 1 << 30
SECRET = b"the upload of somebody else"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a child that analysed a sick network."""
    folder = tmp_path_factory.mktemp("honest")
    options = parse_options({"effort": "quick", "variants": ["relu"]})
    report = analyze(mlp(6, "Sigmoid", xavier(), width=16), vectors(), options, models_dir=folder / "models")
    (folder / "report.json").write_bytes(report.to_json())
    return folder


@pytest.fixture
def left(honest: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    folder = tmp_path / "work"
    (folder / "models").mkdir(parents=True)
    for path in honest.rglob("*"):
        if path.is_file():
            (folder / path.relative_to(honest)).write_bytes(path.read_bytes())
    return folder


@pytest.fixture
def objects(tmp_path: Path) -> ObjectFolder:
    (tmp_path / "objects").mkdir()
    store = ObjectFolder(tmp_path / "objects")
    store.put(SECRET)
    return store


def stored(objects: ObjectFolder) -> set[str]:
    return {path.name for path in objects.folder.rglob("?" * 64)}


def test_a_report_and_the_models_it_names_are_stored_and_nothing_else(left: Path, objects: ObjectFolder) -> None:
    (left / "models" / "unnamed.onnx").write_bytes(b"nobody asked for it")
    kept = store_results(left, objects, ROOM)
    content = objects.get(kept.report.sha256)
    assert content == (left / "report.json").read_bytes()
    named = {each.model.sha256 for each in Report.from_json(content).variants if each.model is not None}
    assert named
    assert kept.names == named | {kept.report.sha256}
    assert stored(objects) == kept.names | {hashlib.sha256(SECRET).hexdigest()}


def test_a_report_that_its_budget_cut_says_so(
    left: Path, objects: ObjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store_results(left, objects, ROOM).is_whole
    budget = itertools.count()
    monkeypatch.setattr(Clock, "is_over", property(lambda _: next(budget) > 20))
    cut = analyze(mlp(6, "Sigmoid", xavier(), width=16), vectors(), parse_options({"effort": "quick"}))
    (left / "report.json").write_bytes(cut.to_json())
    assert not store_results(left, objects, ROOM).is_whole


def link(left: Path) -> None:
    (left / "report.json").rename(left / "elsewhere")
    (left / "report.json").symlink_to("elsewhere")


def second_name(left: Path) -> None:
    os.link(left / "report.json", left / "second")


def pipe(left: Path) -> None:
    (left / "report.json").unlink()
    os.mkfifo(left / "report.json")


def folder(left: Path) -> None:
    (left / "report.json").unlink()
    (left / "report.json").mkdir()


def no_report(left: Path) -> None:
    (left / "report.json").write_bytes(b"{}")


def deep(left: Path) -> None:
    (left / "report.json").write_bytes(b"[" * 10**6)


def linked_folder(left: Path) -> None:
    (left / "models").rename(left / "other")
    (left / "models").symlink_to("other")


def another_content(left: Path) -> None:
    for path in (left / "models").iterdir():
        path.write_bytes(path.read_bytes() + b" ")


def no_models(left: Path) -> None:
    for path in (left / "models").iterdir():
        path.unlink()


def upload_of_somebody_else(left: Path) -> None:
    """The report says that a repaired model is what another client sent."""
    report, secret = left / "report.json", hashlib.sha256(SECRET).hexdigest()
    for each in Report.from_json(report.read_bytes()).variants:
        if each.model is not None:
            report.write_bytes(report.read_bytes().replace(each.model.sha256.encode(), secret.encode()))


def way_out(left: Path) -> None:
    report = left / "report.json"
    report.write_bytes(report.read_bytes().replace(b'"variants/', b'"variants/../../objects/'))


@pytest.mark.parametrize(
    "change",
    [
        link, second_name, pipe, folder, no_report, deep, linked_folder, another_content, no_models,
        upload_of_somebody_else, way_out,
    ],
)  # fmt: skip
def test_anything_else_is_no_result(left: Path, objects: ObjectFolder, change: Callable[[Path], None]) -> None:
    before = stored(objects)
    change(left)
    with pytest.raises(BadResultError):
        store_results(left, objects, ROOM)
    assert stored(objects) == before


def test_models_and_reports_have_room_up_to_a_limit(
    left: Path, objects: ObjectFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (left / "report.json").read_bytes()
    files = {path.name: path.stat().st_size for path in (left / "models").iterdir()}
    named = results.read_report(content).models
    room = sum(files[name] for name in named)
    with pytest.raises(BadResultError, match="more bytes"):
        store_results(left, objects, room - 1)
    assert store_results(left, objects, room).report.size == len(content)
    monkeypatch.setattr(results, "LARGEST_REPORT", len(content) - 1)
    with pytest.raises(BadResultError, match="more than"):
        store_results(left, objects, room)
