"""What bytes look like that are no ONNX model, and what to do about it."""

import re
from typing import Final

PLAIN: Final = "send the bytes of an .onnx file"
LOOKED_AT: Final = 512
LFS: Final = b"version https://git-lfs"
HTML: Final = (b"<!doctype html", b"<html")
PAGE: Final = "a web page: download the file itself, not the page that shows it"
MARKS: Final[tuple[tuple[int, bytes, str], ...]] = (
    (0, LFS, "a pointer of Git LFS: run 'git lfs pull', or download the file itself"),
    (0, b"\x93NUMPY", "a numpy array: is it the batch?"),
    (0, b"\x89HDF", "an HDF5 file: export it with tf2onnx"),
    (0, b"\x89PNG", "a picture"),
    (0, b"\xff\xd8\xff", "a picture"),
    (0, b"\x1f\x8b", "a gzip file: unpack it and send the .onnx file that is in it"),
    (0, b"GGUF", "a GGUF file, which has weights and no graph: export the network from its framework"),
    (4, b"TFL3", "a TensorFlow Lite model: convert it with tf2onnx --tflite"),
    (4, b"ORTM", "an .ort file, onnxruntime's own format: send the .onnx file that it was made of"),
    (8, b'{"', "a safetensors file, which has weights and no graph: is it the batch?"),
    (257, b"ustar", "a tar file: unpack it and send the .onnx file that is in it"),
    (0, b"\x80", "a pickle: export the module with torch.onnx.export"),
)
"""(place, bytes there, what that is)."""
ONNX_IN_ZIP: Final = b".onnx"
NUMPY_IN_ZIP: Final = b".npy"
MODEL: Final = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x28\x32\x3a\x42]")
"""How files of exporters begin: the version of the format, then another field of the model."""


def guess(view: memoryview, *, broken: bool = True) -> str:
    """The way out, for bytes that are no ONNX model; `broken`: nor any other message of protobuf."""
    start = bytes(view[:LOOKED_AT])
    found = next((what for place, mark, what in MARKS if start[place:].startswith(mark)), "") or _by_text(start)
    if start.startswith(b"PK"):
        found = _by_contents(bytes(view[-(1 << 16) :]))
    if broken and not found and MODEL.match(start):
        return "this begins like an ONNX model and is cut short or damaged: send the whole file"
    return f"this looks like {found}" if found else PLAIN


def text_of(start: bytes) -> bytes:
    """The beginning of a file as text: in lower case, without a mark of its encoding or space in front."""
    return start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()


def _by_contents(directory: bytes) -> str:
    """Of a zip, by the names at its end."""
    if ONNX_IN_ZIP in directory:
        return "a zip file: unpack it and send the .onnx file that is in it"
    if NUMPY_IN_ZIP in directory:
        return "an npz file, which has arrays and no graph: is it the batch?"
    return "a zip or torch file: export it with torch.onnx.export"


def _by_text(start: bytes) -> str:
    text = text_of(start)
    if text.startswith(HTML):
        return PAGE
    if text.startswith(b"<ir_version"):
        return "a model in ONNX's text form: parse it with onnx.parser and save it with onnx.save"
    if text.startswith(b"<?xml"):
        return "XML: of an OpenVINO model send the .onnx file that it was made of"
    return "JSON" if text.startswith((b"{", b"[")) else ""
