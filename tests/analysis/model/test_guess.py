"""Files that are sent for a model and are none: what they are, and the way out."""

import io
import tarfile
import zipfile

import numpy as np
import onnx
import pytest
import safetensors.numpy
from onnx import parser

from analysis.errors import NotOnnx
from analysis.model import check_model
from analysis.model.guess import PLAIN, guess

MODEL = parser.parse_model('<ir_version: 8, opset_import: ["": 17]> net (float[N] x) => (float[N] y) { y = Relu(x) }')


def zipped(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, MODEL.SerializeToString())
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model/net.onnx"))
    return content.getvalue()


def array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.ones(3))
    return content.getvalue()


FILES = {
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "page": (b"\n<!DOCTYPE html>\n<html><head><title>net.onnx</title>", "a web page"),
    "zip": (zipped("net.onnx"), "unpack it"),
    "torch": (zipped("archive/data.pkl"), "torch.onnx.export"),
    "npz": (zipped("x.npy"), "is it the batch"),
    "tar": (tarred(), "unpack it"),
    "safetensors": (safetensors.numpy.save({"w": np.ones(3, np.float32)}), "safetensors"),
    "numpy": (array(), "is it the batch"),
    "text": (b'<ir_version: 8, opset_import: ["": 17]> net', "onnx.parser"),
    "openvino": (b'<?xml version="1.0"?><net name="net" version="11">', "OpenVINO"),
    "lite": (b"\x1c\x00\x00\x00TFL3" + bytes(60), "tf2onnx --tflite"),
    "ort": (b"\x18\x00\x00\x00ORTM" + bytes(60), "onnxruntime's own format"),
    "cut": (MODEL.SerializeToString()[:-4], "cut short"),
    "nothing": (b"a readme", PLAIN),
}


@pytest.mark.parametrize("name", FILES)
def test_what_was_sent_instead_is_named(name: str) -> None:
    content, hint = FILES[name]
    assert hint in guess(memoryview(content))
    with pytest.raises(NotOnnx) as refused:
        check_model(content)
    assert hint in refused.value.hint


def test_another_message_is_no_damaged_model() -> None:
    assert (
        guess(memoryview(onnx.ModelProto(ir_version=8, producer_name="x").SerializeToString()), broken=False) == PLAIN
    )


def test_every_exporter_begins_a_model_as_it_is_told_from_other_files() -> None:
    for producer in ("pytorch", ""):
        model = onnx.ModelProto.FromString(MODEL.SerializeToString())
        model.producer_name = producer
        assert "cut short" in guess(memoryview(model.SerializeToString()))
