"""Which file a location means; what is read out of it is tested with the weights."""

from pathlib import Path

import pytest

from analysis.errors import AnalysisError, InvalidModel, MissingExternalData
from analysis.model.data_files import DataFiles, is_plain


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, with a stored object of somebody else in it and a file that was sent elsewhere."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "secret").write_bytes(b"somebody else's")
    (folder / "link").symlink_to(folder / "secret")
    (tmp_path / "sent").write_bytes(b"what was sent")
    return folder


def refusal(files: DataFiles, location: str, kind: type[AnalysisError]) -> str:
    with pytest.raises(kind) as caught:
        files.open(location, "w")
    assert caught.value.where == "w"
    assert files.contents() == {}
    return f"{caught.value.detail} ({caught.value.hint})"


def test_what_was_sent_is_found_by_its_name_and_nothing_else_is(folder: Path) -> None:
    files = DataFiles(folder, {"weights.bin": folder.parent / "sent"})
    for location in ("secret", "sent", "link", "Weights.bin"):
        message = refusal(files, location, MissingExternalData)
        assert "sent were weights.bin" in message
        assert "curl -F external_data=@FILE" in message
    assert bytes(files.open("weights.bin", "w").view) == b"what was sent"
    assert {name: bytes(content) for name, content in files.contents().items()} == {"weights.bin": b"what was sent"}


def test_where_nothing_was_sent_nothing_is_read(folder: Path) -> None:
    for files in (DataFiles(folder, {}), DataFiles()):
        assert "was not sent" in refusal(files, "secret", MissingExternalData)


def test_beside_a_model_of_ones_own_files_are_read_and_links_are_not(folder: Path) -> None:
    files = DataFiles(folder)
    assert "cannot open" in refusal(files, "link", InvalidModel)
    assert "not beside the model" in refusal(files, "sent", MissingExternalData)
    assert bytes(files.open("secret", "w").view) == b"somebody else's"


def test_a_file_is_opened_once(folder: Path) -> None:
    files = DataFiles(folder)
    first = files.open("secret", "w")
    (folder / "secret").unlink()
    assert files.open("secret", "v") is first


@pytest.mark.parametrize("location", ["", ".", "..", "a/b", "/etc/passwd", "../secret", "secret/", "./secret"])
def test_a_location_that_is_a_path_is_refused_even_where_it_was_sent(folder: Path, location: str) -> None:
    assert not is_plain(location)
    files = DataFiles(folder, {location: folder.parent / "sent"})
    assert "plain file name" in refusal(files, location, InvalidModel)
