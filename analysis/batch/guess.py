"""What bytes look like that are no batch, and what to do about it."""

from collections.abc import Iterable
from typing import Final

from analysis.model.guess import HTML, LFS, LOOKED_AT, MODEL, PAGE, text_of

KINDS: Final = "send npz, npy, safetensors, TensorProto or OIP JSON"
SAVE: Final = "numpy.savez('batch.npz', x=..., target=...)"
MARKS: Final[tuple[tuple[bytes, str], ...]] = (
    (LFS, "a pointer of Git LFS: run 'git lfs pull', or download the file itself"),
    (b"PAR1", f"a Parquet file: pandas.read_parquet reads it, {SAVE} writes what is taken"),
    (b"\x89HDF", f"an HDF5 file: h5py reads it, {SAVE} writes what is taken"),
    (b"\x89PNG", f"a picture: {SAVE} writes what is taken"),
    (b"\xff\xd8\xff", f"a picture: {SAVE} writes what is taken"),
    (b"\x1f\x8b", "a gzip file: unpack it"),
    (b"MATLAB", f"a MATLAB file: scipy.io.loadmat reads it, {SAVE} writes what is taken"),
    (b"\x80", f"a pickle, which is never opened: {SAVE} writes what is taken"),
)
"""(bytes at the start, what that is)."""


def guess(content: bytes) -> str:
    """The way out, for bytes that no reader knows."""
    start = content[:LOOKED_AT]
    found = next((what for mark, what in MARKS if start.startswith(mark)), "") or _by_text(start)
    if not found and MODEL.match(start):
        found = "an ONNX model: the model comes first, then the batch"
    return f"this looks like {found}" if found else KINDS


def guess_members(names: Iterable[str]) -> str:
    """The way out, for a zip file without a single array."""
    if any(name.endswith("data.pkl") for name in names):
        return f"this looks like what torch.save writes: torch.load reads it, {SAVE} writes what is taken"
    return f"{SAVE} writes an npz file"


def _by_text(start: bytes) -> str:
    text = text_of(start)
    if text.startswith(HTML):
        return PAGE
    line = text.splitlines()[0] if text else b""
    if line.isascii() and b"\0" not in text and any(mark in line for mark in (b",", b";", b"\t")):
        return f"a table (CSV): pandas.read_csv reads it, {SAVE} writes what npz takes"
    return ""
