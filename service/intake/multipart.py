"""A multipart body, straight from the socket into the object store: flat memory, sha256 on the way, capped.

Parts: `model` (file, required), `batch` (file), `options` (JSON), `external_data` (file, repeated): what tensors of the
model lie in, under the name that the model calls it by; and `blobs` (JSON), which names files that were sent ahead.
Anything else, or anything twice, is refused. The parser, the hashes and the disk run in threads, so that the event loop
answers others meanwhile.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from anyio import CancelScope
from anyio.to_thread import run_sync
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from analysis.diagnosis.policy import policy
from analysis.errors import NotOnnx
from analysis.interventions.variants import asked_for
from analysis.options import AnalysisOptions, parse_options
from service.intake.blobs import PART, Sizes, parse_references, resolve
from service.intake.body import UploadLimits, capped, impatient, keeping_reserve, pour, refuse_encoding, too_large
from service.objects.blob import Blob, BlobWriter, Objects
from service.problems import ProblemError, refusal

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORM: Final = b"multipart/form-data"
FILES: Final = frozenset({"model", "batch"})
DATA: Final = "external_data"
DATA_HINT: Final = "name it as the model does: curl -F external_data=@weights.bin"
MOST_DATA_FILES: Final = 64
MOST_PARTS: Final = 256
"""Each costs the parser as much as megabytes of a file, also one that says nothing."""
MULTIPART_OVERHEAD: Final = 1 << 20
LONGEST_HEADER: Final = 8 << 10


@dataclass(slots=True)
class Upload:
    """What arrived."""

    blobs: dict[str, Blob] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Last part of the file names sent, printable."""
    options: AnalysisOptions = field(default_factory=AnalysisOptions)
    data_files: dict[str, Blob] = field(default_factory=dict)
    """External data of the model, by the name the model has for it."""


def _options_part(said: Mapping[str, bytearray]) -> AnalysisOptions:
    return parse_options(bytes(said.get("options", b"")))


@dataclass(slots=True)
class Texts:
    """Parts that are no files: which there may be, what options they make, and what arrived, refused or not."""

    names: Collection[str] = ("options", PART)
    options: Callable[[Mapping[str, bytearray]], AnalysisOptions] = _options_part
    said: dict[str, bytearray] = field(default_factory=dict)


def nothing(names: Collection[str]) -> Mapping[str, int]:
    """Nothing was sent ahead."""
    return {}


async def receive(
    headers: Mapping[str, str],
    body: AsyncIterator[bytes],
    objects: Objects,
    limits: UploadLimits,
    texts: Texts | None = None,
    sizes: Sizes = nothing,
) -> Upload:
    """Store the files of a request; nothing of a refused one is kept.

    `texts`: other than the parts `options` and `blobs`; `sizes`: of the blobs that may be named there.
    Raises ProblemError: 400 malformed, 408 too slow, 413 too large, 415 not multipart, 422 no such blob, 503 stopping,
    507 no room. Raises BadOptions, NotOnnx.
    """
    refuse_encoding(headers)
    kind, parameters = parse_options_header(headers.get("content-type", ""))
    boundary = parameters.get(b"boundary")
    if kind != FORM or not boundary:
        given = "it without a boundary" if kind == FORM else kind.decode(errors="replace") or "nothing"
        raise refusal(
            "unsupported-media-type",
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"expected multipart/form-data, given {given}",
            hint="curl -F model=@model.onnx -F batch=@batch.npz",
        )
    if int(headers.get("content-length") or 0) > limits.total + MULTIPART_OVERHEAD:
        raise too_large(limits.total)
    receiver = _Receiver(objects, limits, texts or Texts(), sizes)
    try:
        parser = MultipartParser(boundary, receiver.callbacks())
        most = limits.total + MULTIPART_OVERHEAD  # also of bytes outside of the parts, which the parser skips
        chunks = capped(impatient(body, limits.patience), most, limits.total)
        await pour(chunks, keeping_reserve(parser.write, limits.has_reserve), limits.threads)
        parser.finalize()
        return await run_sync(receiver.finish, limiter=limits.threads)
    except FormParserError as error:
        raise _malformed(f"the multipart body is malformed: {error}") from error
    finally:
        with CancelScope(shield=True):  # a client that hung up leaves nothing behind, either
            await run_sync(receiver.close, limiter=limits.threads)


class _Receiver:
    """Callbacks of the parser, and the files they fill."""

    def __init__(self, objects: Objects, limits: UploadLimits, texts: Texts, sizes: Sizes) -> None:
        self._objects = objects
        self._sizes = sizes
        self._limits = limits
        self._stack = ExitStack()
        self._writers: dict[str, BlobWriter] = {}
        self._data_writers: dict[str, BlobWriter] = {}
        self._into: BlobWriter | None = None
        self._upload = Upload()
        self._texts = texts
        self._text: bytearray | None = None
        self._unchosen: BlobWriter | None = None
        self._header = bytearray()
        self._value = bytearray()
        self._disposition = b""
        self._received = self._parts = 0
        self._ended = False

    def close(self) -> None:
        """Let go of what was not committed."""
        self._stack.close()

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._extend(self._header, data[start:end]),
            "on_header_value": lambda data, start, end: self._extend(self._value, data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_end": self._end,
        }

    def finish(self) -> Upload:
        """Everything committed."""
        if not self._ended:
            raise _malformed("the multipart body is cut short")
        ahead = self._sent_ahead()
        model = self._writers.get("model") or ahead.blobs.get("model")
        if model is None:
            raise _malformed("the part 'model' is missing", where="model", hint="curl -F model=@model.onnx")
        if model.size == 0:
            raise NotOnnx("the model is empty", where="model", hint="send the bytes of an .onnx file")
        self._upload.options = self._texts.options(self._texts.said)
        policy(self._upload.options)  # what these refuse is refused now, not by a job
        asked_for(self._upload.options)
        if self._unchosen is not None and self._unchosen.size == 0:
            del self._writers["batch"]
        self._upload.blobs = ahead.blobs | {name: writer.commit() for name, writer in self._writers.items()}
        data_files = {name: writer.commit() for name, writer in self._data_writers.items()}
        self._upload.data_files = ahead.data_files | data_files
        self._upload.names = ahead.names | self._upload.names
        return self._upload

    def _sent_ahead(self) -> Upload:
        """What the part `blobs` names."""
        ahead = Upload()
        if PART not in self._texts.names or PART not in self._texts.said:
            return ahead
        references = parse_references(bytes(self._texts.said[PART]))
        for name in references.external_data:
            self._data_name(name, taken=len(references.external_data))
        blobs = resolve(references, self._sizes)
        for name, sha256 in (("model", references.model), ("batch", references.batch)):
            if sha256 is not None and name in self._writers:
                raise _malformed(f"the part {name!r} was sent, and named among the blobs", where=name)
            if sha256 is not None:
                ahead.blobs[name] = blobs[sha256]
        ahead.data_files |= {name: blobs[sha256] for name, sha256 in references.external_data.items()}
        ahead.names["model"] = _plain(references.model_name)
        sent = [*ahead.blobs.values(), *ahead.data_files.values()]
        if self._received + sum(blob.size for blob in sent) > self._limits.total:
            raise too_large(self._limits.total)
        return ahead

    def _begin(self) -> None:
        self._into, self._text, self._disposition = None, None, b""
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise _malformed(f"more than {MOST_PARTS} parts")

    def _extend(self, header: bytearray, piece: bytes) -> None:
        header.extend(piece)
        if len(header) > LONGEST_HEADER:
            raise _malformed("a part has an overlong header")

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _open(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        name = parameters.get(b"name", b"").decode(errors="replace")
        filename = parameters.get(b"filename", b"").decode(errors="replace")
        if name not in FILES and name != DATA and name not in self._texts.names:
            hint = "parts are model, batch, options, external_data and blobs"
            raise _malformed(f"unknown part {name!r}", where=name, hint=hint)
        if name in self._writers or name in self._texts.said:
            raise _malformed(f"the part {name!r} was sent twice", where=name)
        if name in self._texts.names:
            self._text = self._texts.said[name] = bytearray()
            return
        unchosen = parameters.get(b"filename") == b""  # what a browser sends for a file that nobody chose
        if name == DATA and unchosen:
            return
        self._into = self._stack.enter_context(self._objects.writer(anew=self._limits.anew))
        if name == DATA:
            self._data_writers[self._data_name(filename)] = self._into
        else:
            self._writers[name] = self._into
            self._upload.names[name] = _plain(filename)
            self._unchosen = self._into if name == "batch" and unchosen else self._unchosen

    def _data_name(self, filename: str, taken: int = 1) -> str:
        """What the model calls this data file, of so many more; no name that stands for something else is mended."""
        if not filename or filename in {".", ".."} or filename != _plain(filename):
            raise _malformed(f"{filename[:100]!r} is no plain file name", where=DATA, hint=DATA_HINT)
        if filename in self._data_writers:
            raise _malformed(f"the data file {filename!r} was sent twice", where=DATA)
        if len(self._data_writers) + taken > MOST_DATA_FILES:
            hint = "onnx.save(model, path, save_as_external_data=True, all_tensors_to_one_file=True) makes it one"
            raise _malformed(f"more than {MOST_DATA_FILES} data files", where=DATA, hint=hint)
        return filename

    def _data(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._limits.total:
            raise too_large(self._limits.total)
        if self._into is not None:
            self._into.write(chunk)
        elif self._text is not None:
            self._text.extend(chunk)
            if sum(map(len, self._texts.said.values())) > self._limits.options:
                raise too_large(self._limits.options)
        elif chunk:
            self._data_name("")  # raises

    def _end(self) -> None:
        self._ended = True


def _plain(filename: str) -> str:
    """Last part of a file name, printable."""
    return "".join(filter(str.isprintable, filename)).replace("\\", "/").rsplit("/", 1)[-1][:255]


def _malformed(detail: str, *, where: str = "", hint: str = "") -> ProblemError:
    return refusal("bad-request", HTTPStatus.BAD_REQUEST, detail, where=where, hint=hint)
