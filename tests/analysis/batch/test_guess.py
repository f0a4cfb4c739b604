"""Files that are sent for a batch and are none: what they are, and the way out."""

import gzip
import io
import pickle
import zipfile

import pytest
import torch
from onnx import parser

from analysis.batch.guess import KINDS
from tests.analysis.batch.batches import refusal

MODEL = parser.parse_model('<ir_version: 8, opset_import: ["": 17]> net (float[N] x) => (float[N] y) { y = Relu(x) }')


def saved(kept: object) -> bytes:
    content = io.BytesIO()
    torch.save(kept, content)
    return content.getvalue()


def zipped(name: str, inside: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, inside)
    return content.getvalue()


FILES = {
    "table": (b"a,b,target\n0.5,1.5,0\n", "pandas.read_csv"),
    "German table": (b"a;b;target\n0,5;1,5;0\n", "pandas.read_csv"),
    "Parquet": (b"PAR1\x15\x04", "pandas.read_parquet"),
    "pickle": (pickle.dumps({"x": [1.0]}), "a pickle, which is never opened"),
    "torch": (saved({"x": torch.ones(3)}), "torch.load reads it"),
    "zipped table": (zipped("batch.csv", b"a,b\n1,2\n"), "writes an npz file"),
    "gzip": (gzip.compress(b"a,b\n"), "unpack it"),
    "model": (MODEL.SerializeToString(), "the model comes first"),
    "page": (b"<!doctype html><title>batch.npz</title>", "a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "git lfs pull"),
    "readme": (b"a readme", KINDS),
}


@pytest.mark.parametrize("name", FILES)
def test_what_was_sent_instead_is_named(name: str) -> None:
    content, hint = FILES[name]
    assert hint in refusal(content).hint


def test_a_plain_object_of_json_is_told_what_it_lacks() -> None:
    refused = refusal(b'{"x": [[1.0, 2.0]], "target": [0]}')
    assert refused.detail.endswith('it has no "inputs"')
    assert '"datatype": "FP32"' in refused.hint
