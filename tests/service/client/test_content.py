"""What is uploaded, part by part."""

import io
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import BadOptions
from analysis.options import AnalysisOptions, parse_options
from service.client.content import fields_of, opened


def test_files_are_handed_over_open_and_closed_afterwards(tmp_path: Path) -> None:
    names = ("net.onnx", "x.npz", "weights.bin")
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    model, batch, beside = (tmp_path / name for name in names)
    with opened(model, batch, [beside]) as parts:
        assert [(part, name) for part, (name, _) in parts] == [
            ("model", "net.onnx"), ("batch", "x.npz"), ("external_data", "weights.bin"),
        ]  # fmt: skip
        files = [file for _, (_, file) in parts]
        assert [file.read() for file in files] == [name.encode() for name in names]
    assert all(file.closed for file in files)


def test_bytes_have_names_that_say_what_they_are() -> None:
    with opened(b"model", b"batch", ()) as parts:
        assert parts == [("model", ("model.onnx", b"model")), ("batch", ("batch.npz", b"batch"))]
    with opened(b"model", None, ()) as parts:
        assert parts == [("model", ("model.onnx", b"model"))]


def test_arrays_by_name_become_an_npz() -> None:
    with opened(b"model", {"x": np.eye(3, dtype="float32"), "target": [0, 1, 2]}, ()) as parts:
        _, (name, content) = parts[1]
    arrays = np.load(io.BytesIO(content))
    assert name == "batch.npz"
    np.testing.assert_array_equal(arrays["x"], np.eye(3, dtype="float32"))
    assert arrays["target"].tolist() == [0, 1, 2]


def test_options_are_sent_as_far_as_they_were_given() -> None:
    assert fields_of(None) == {}
    expected = AnalysisOptions(seed=7)
    for given in (expected, {"seed": 7}):
        (text,) = fields_of(given).values()
        assert text == '{"seed":7}'
        assert parse_options(text) == expected


def test_an_option_that_does_not_exist_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(BadOptions, match="sede"):
        fields_of({"sede": 7})
