"""Which files a model says its tensors lie in."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from analysis.model.locations import files_beside


def outside(name: str, location: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_files_of_initialisers_constants_and_bodies_are_found_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("b.bin", "a.bin", "c.bin", "unused.bin"):
        (tmp_path / name).write_bytes(bytes(8))
    body = helper.make_graph([], "body", [], [], [outside("v", "c.bin")])
    nodes = [
        helper.make_node("Constant", [], ["k"], value=outside("k", "b.bin")),
        helper.make_node("If", ["k"], ["z"], then_branch=body, else_branch=body),
    ]
    named = ["a.bin", "a.bin", "missing.bin", "folder", "../b.bin", "/etc/hostname", ""]
    graph = helper.make_graph(nodes, "g", [], [], [outside(f"w{number}", at) for number, at in enumerate(named)])
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    assert files_beside(tmp_path / "m.onnx") == [tmp_path / name for name in ("a.bin", "b.bin", "c.bin")]


def test_of_what_is_no_model_nothing_is_found(tmp_path: Path) -> None:
    for content in (b"", b"PK no model", bytes(100)):
        (tmp_path / "m.onnx").write_bytes(content)
        assert files_beside(tmp_path / "m.onnx") == []
