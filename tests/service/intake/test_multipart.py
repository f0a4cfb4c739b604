"""Multipart bodies, cut into chunks anywhere, and everything that is refused on the way in."""

import asyncio
import dataclasses
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import Path

import pytest
from anyio import CapacityLimiter

from analysis.errors import BadOptions, NotOnnx
from analysis.options import AnalysisOptions
from service.intake.blobs import Sizes
from service.intake.body import BACKLOG, Patience, UploadLimits
from service.intake.multipart import MOST_DATA_FILES, MOST_PARTS, MULTIPART_OVERHEAD, Texts, Upload, nothing, receive
from service.objects.blob import Blob
from service.objects.folder import ObjectFolder
from service.problems import ProblemError

BOUNDARY = "------limit-of-parts"
HEADERS = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}

PATIENCE = Patience(idle_seconds=5.0, bytes_per_second=1000.0)


def limits_of(total: int = 100_000, options: int = 200, patience: Patience = PATIENCE) -> UploadLimits:
    return UploadLimits(total, options, patience, CapacityLimiter(2))


LIMITS = limits_of()
MODEL = b"\x08\x08 a model \r\n--" + BOUNDARY[:-1].encode() + b"\r\n-\r\n--" + bytes(range(256)) + b"\r\n"
BATCH = b"PK\x03\x04\r\r\n\n--"
OPTIONS = b'{"seed": 7}'


def part(name: str, content: bytes, filename: str | None = "file") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    return raw_part(f'Content-Disposition: form-data; name="{name}"{file}\r\n'.encode(), content)


def raw_part(headers: bytes, content: bytes) -> bytes:
    return f"--{BOUNDARY}\r\n".encode() + headers + b"\r\n" + content + b"\r\n"


PARTS = {
    "model": part("model", MODEL, "network.onnx"),
    "batch": part("batch", BATCH, "batch.npz"),
    "options": part("options", OPTIONS, None),
}
END = f"--{BOUNDARY}--\r\n".encode()
BODY = b"".join(PARTS.values()) + END


@pytest.fixture
def objects(tmp_path: Path) -> ObjectFolder:
    return ObjectFolder(tmp_path)


def files(objects: ObjectFolder) -> list[Path]:
    return [path for path in objects.folder.rglob("*") if path.is_file()]


async def chunked(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def upload(
    objects: ObjectFolder,
    body: bytes | AsyncIterator[bytes],
    *,
    size: int = 1 << 16,
    headers: Mapping[str, str] = HEADERS,
    limits: UploadLimits = LIMITS,
    texts: Texts | None = None,
    sizes: Sizes = nothing,
) -> Upload:
    stream = chunked(body, size) if isinstance(body, bytes) else body
    return asyncio.run(receive(headers, stream, objects, limits, texts, sizes))


def refused(objects: ObjectFolder, body: bytes | AsyncIterator[bytes], status: HTTPStatus, **how: object) -> str:
    """What the client is told; nothing was kept."""
    with pytest.raises(ProblemError) as refusal:
        upload(objects, body, **how)
    problem = refusal.value.problem
    assert problem.status == status, problem
    assert files(objects) == []
    return f"{problem.code} {problem.where}: {problem.detail} ({problem.hint})"


# ------------------------------------------------------------------ what is accepted


@pytest.mark.parametrize("size", [1, 7, len(BODY)], ids=["bytes", "sevens", "whole"])
@pytest.mark.parametrize("order", list(itertools.permutations(PARTS)), ids="-".join)
def test_parts_arrive_in_any_order_and_in_chunks_of_any_size(
    objects: ObjectFolder, order: tuple[str, ...], size: int
) -> None:
    received = upload(objects, b"".join(PARTS[name] for name in order) + END, size=size)
    for name, content in {"model": MODEL, "batch": BATCH}.items():
        assert received.blobs[name].sha256 == hashlib.sha256(content).hexdigest()
        assert received.blobs[name].size == len(content)
        assert objects.get(received.blobs[name].sha256) == content
    assert received.names == {"model": "network.onnx", "batch": "batch.npz"}
    assert received.options == AnalysisOptions(seed=7)
    assert len(files(objects)) == 2


def test_a_body_may_be_cut_in_two_at_every_byte(objects: ObjectFolder) -> None:
    async def halves(cut: int) -> AsyncIterator[bytes]:
        yield BODY[:cut]
        yield b""
        yield BODY[cut:]

    whole = upload(objects, BODY)
    for cut in range(len(BODY)):
        assert upload(objects, halves(cut)) == whole, cut


def test_a_model_alone_is_enough(objects: ObjectFolder) -> None:
    received = upload(objects, PARTS["model"] + END)
    assert set(received.blobs) == {"model"}
    assert received.options == AnalysisOptions()


def test_an_empty_batch_is_for_the_analysis_to_judge(objects: ObjectFolder) -> None:
    assert upload(objects, PARTS["model"] + part("batch", b"") + END).blobs["batch"].size == 0


def test_a_file_that_nobody_chose_in_a_browser_was_not_sent(objects: ObjectFolder) -> None:
    received = upload(objects, part("batch", b"", "") + PARTS["model"] + part("external_data", b"", "") + END)
    assert (set(received.blobs), received.data_files) == ({"model"}, {})
    assert upload(objects, PARTS["model"] + part("batch", BATCH, "") + END).blobs["batch"].size == len(BATCH)
    with pytest.raises(NotOnnx):
        upload(objects, part("model", b"", "") + END)


def fields_of(*names: str) -> Texts:
    """A form whose field `seed` is an option."""
    return Texts(names, lambda said: AnalysisOptions(seed=int(bytes(said.get("seed", b"0")))))


def test_a_form_may_have_other_texts_than_options(objects: ObjectFolder) -> None:
    texts = fields_of("seed", "project")
    body = part("seed", b"7", None) + PARTS["model"] + part("project", "künstlich".encode(), None) + END
    assert upload(objects, body, texts=texts).options == AnalysisOptions(seed=7)
    assert texts.said == {"seed": b"7", "project": "künstlich".encode()}


def test_what_a_refused_form_said_is_kept_and_its_texts_share_one_limit(objects: ObjectFolder) -> None:
    texts = fields_of("seed", "project")
    refused(objects, part("project", b"p", None) + END, HTTPStatus.BAD_REQUEST, texts=texts)
    assert texts.said == {"project": b"p"}
    twice = PARTS["model"] + part("seed", b"1", None) * 2 + END
    assert "twice" in refused(objects, twice, HTTPStatus.BAD_REQUEST, texts=fields_of("seed"))
    assert "unknown part 'options'" in refused(objects, BODY, HTTPStatus.BAD_REQUEST, texts=fields_of("seed"))
    for size in (201, 200):
        body = part("seed", b"00", None) + part("project", b"p" * (size - 2), None) + PARTS["model"] + END
        if size > LIMITS.options:
            refused(objects, body, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, texts=fields_of("seed", "project"))
        else:
            assert upload(objects, body, texts=fields_of("seed", "project")).options == AnalysisOptions()


def test_model_and_batch_may_be_the_same_bytes(objects: ObjectFolder) -> None:
    received = upload(objects, part("model", MODEL) + part("batch", MODEL) + END)
    assert received.blobs["model"] == received.blobs["batch"]
    assert len(files(objects)) == 1


def test_other_headers_of_a_part_and_their_case_do_not_matter(objects: ObjectFolder) -> None:
    headers = b'content-TYPE: application/octet-stream\r\nCONTENT-disposition: form-data; name="model"\r\nX-Mine: 1\r\n'
    received = upload(objects, raw_part(headers, MODEL) + END)
    assert objects.get(received.blobs["model"].sha256) == MODEL


def test_exactly_the_limit_is_accepted_and_one_byte_more_is_not(objects: ObjectFolder) -> None:
    exact, one_more = (part("model", b"x" * size) + END for size in (1000, 1001))
    limits = limits_of(total=1000, options=10)
    message = refused(objects, one_more, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limits=limits)
    assert "more than the 1000 bytes" in message
    assert upload(objects, exact, limits=limits).blobs["model"].size == 1000


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("network.onnx", "network.onnx"),
        ("../../etc/passwd", "passwd"),
        ("/abs/olute.onnx", "olute.onnx"),
        ("C:\\models\\mine.onnx", "mine.onnx"),
        ("mixed\\and/slashed.onnx", "slashed.onnx"),
        ("slashed/and\\\\mixed.onnx", "mixed.onnx"),
        ("a %22quoted%22 name.onnx", "a %22quoted%22 name.onnx"),
        ('an \\"escaped\\" name.onnx', 'an "escaped" name.onnx'),
        ("semi;colon=.onnx", "semi;colon=.onnx"),
        ("modèle-模型-🧠.onnx", "modèle-模型-🧠.onnx"),
        ("x" * 1000, "x" * 255),
        ("folder/", ""),
        ("", ""),
    ],
)
def test_of_a_file_name_the_last_part_is_kept(objects: ObjectFolder, sent: str, kept: str) -> None:
    assert upload(objects, part("model", MODEL, sent) + END).names["model"] == kept


def test_a_file_without_a_name_has_an_empty_one(objects: ObjectFolder) -> None:
    assert upload(objects, part("model", MODEL, None) + END).names == {"model": ""}


def test_of_a_file_name_that_is_no_text_what_can_be_read_is_kept(objects: ObjectFolder) -> None:
    headers = b'Content-Disposition: form-data; name="model"; filename="a\xffb.onnx"\r\n'
    name = upload(objects, raw_part(headers, MODEL) + END).names["model"]
    assert (name[0], name[-6:]) == ("a", "b.onnx")


@pytest.mark.parametrize("control", ["\x1b[31m", "\0", "\u202e", "\x7f", "\x9b"])
def test_a_file_name_cannot_speak_to_a_terminal(objects: ObjectFolder, control: str) -> None:
    name = upload(objects, part("model", MODEL, f"a{control}b.onnx") + END).names["model"]
    assert name.isprintable()
    assert (name[0], name[-6:]) == ("a", "b.onnx")


def data(filename: str | None, content: bytes = b"weights") -> bytes:
    return part("external_data", content, filename)


def test_data_files_are_kept_under_the_names_that_the_model_has_for_them(objects: ObjectFolder) -> None:
    names = ("weights.bin", "a b.data", "modèle.bin", "a" * 64)
    body = b"".join(data(name, name.encode()) for name in names)
    received = upload(objects, body + PARTS["model"] + END)
    assert {name: objects.get(blob.sha256) for name, blob in received.data_files.items()} == {
        name: name.encode() for name in names
    }
    assert set(received.blobs) == {"model"}
    assert len(files(objects)) == 5


@pytest.mark.parametrize(
    "filename",
    [None, "", ".", "..", "a/weights.bin", "/etc/passwd", "a\\\\b", "a\x1bb", "a\u202eb", "x" * 256],
    ids=repr,
)
def test_a_data_file_without_a_plain_name_is_refused(objects: ObjectFolder, filename: str | None) -> None:
    message = refused(objects, PARTS["model"] + data(filename) + END, HTTPStatus.BAD_REQUEST)
    assert "external_data" in message
    assert "no plain file name" in message


def test_a_data_file_is_sent_once_and_there_are_not_too_many(objects: ObjectFolder) -> None:
    twice = PARTS["model"] + data("w.bin") + data("w.bin", b"other") + END
    assert "twice" in refused(objects, twice, HTTPStatus.BAD_REQUEST)
    many = [data(f"w{number}.bin") for number in range(MOST_DATA_FILES + 1)]
    assert "all_tensors_to_one_file" in refused(objects, b"".join(many) + PARTS["model"] + END, HTTPStatus.BAD_REQUEST)
    received = upload(objects, b"".join(many[1:]) + PARTS["model"] + END)
    assert len(received.data_files) == MOST_DATA_FILES


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (PARTS["batch"] + PARTS["options"] + END, ["model", "missing"]),
        (PARTS["model"] + part("weights", b"w") + END, ["weights", "unknown", "external_data and blobs"]),
        (PARTS["model"] + part("Model", b"w") + END, ["Model", "unknown"]),
        (PARTS["model"] + raw_part(b"Content-Disposition: form-data\r\n", b"w") + END, ["unknown"]),
        (PARTS["model"] + raw_part(b"X-Other: 1\r\n", b"w") + END, ["unknown"]),
        (PARTS["model"] + PARTS["batch"] + PARTS["model"] + END, ["model", "twice"]),
        (PARTS["batch"] + PARTS["batch"] + PARTS["model"] + END, ["batch", "twice"]),
        (PARTS["options"] + PARTS["options"] + PARTS["model"] + END, ["options", "twice"]),
        (part("options", b"", None) + PARTS["options"] + PARTS["model"] + END, ["options", "twice"]),
        (END, ["model", "missing"]),
        (b"", ["cut short"]),
        (b"not a multipart body at all", ["malformed"]),
        (BODY.replace(b"Content-Disposition:", b"Content Disposition "), ["malformed"]),
    ],
    ids=[
        "no model", "unknown part", "other case", "no name", "no disposition", "two models",
        "two batches", "two options", "two options, one empty", "no parts", "nothing", "noise", "broken header",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 1 << 16], ids=["bytes", "whole"])
def test_a_wrong_form_is_refused_by_name_and_leaves_nothing(
    objects: ObjectFolder, body: bytes, words: list[str], size: int
) -> None:
    message = refused(objects, body, HTTPStatus.BAD_REQUEST, size=size)
    assert message.startswith("bad-request ")
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("body", "where", "hint"),
    [
        (PARTS["batch"] + END, "model", "curl -F model=@model.onnx"),
        (
            PARTS["model"] + part("weights", b"w") + END,
            "weights",
            "parts are model, batch, options, external_data and blobs",
        ),
        (PARTS["model"] + PARTS["batch"] + PARTS["batch"] + END, "batch", ""),
        (BODY[:200], "", ""),
    ],
    ids=["no model", "unknown part", "two batches", "cut short"],
)
def test_a_refusal_names_the_part_and_the_way_out(objects: ObjectFolder, body: bytes, where: str, hint: str) -> None:
    message = refused(objects, body, HTTPStatus.BAD_REQUEST)
    assert message.startswith(f"bad-request {where}: ")
    assert message.endswith(f" ({hint})")


def test_a_part_whose_name_is_no_text_is_refused_as_unknown(objects: ObjectFolder) -> None:
    body = PARTS["model"] + raw_part(b'Content-Disposition: form-data; name="\xff"\r\n', b"w") + END
    assert "unknown part" in refused(objects, body, HTTPStatus.BAD_REQUEST)


def test_an_empty_model_is_refused_as_any_file_that_is_none_and_leaves_nothing(objects: ObjectFolder) -> None:
    with pytest.raises(NotOnnx, match="the model is empty") as refusal:
        upload(objects, part("model", b"") + END)
    assert (refusal.value.where, refusal.value.hint) == ("model", "send the bytes of an .onnx file")
    assert files(objects) == []


def test_a_body_cut_short_anywhere_is_refused_and_leaves_nothing(objects: ObjectFolder) -> None:
    for length in range(len(BODY) - len("\r\n")):
        refused(objects, BODY[:length], HTTPStatus.BAD_REQUEST)


@pytest.mark.parametrize(
    "kind",
    [
        "application/json", "application/octet-stream", "application/x-www-form-urlencoded",
        "multipart/mixed; boundary=x", "",
    ],
)  # fmt: skip
def test_anything_but_multipart_is_refused_with_the_command_that_works(objects: ObjectFolder, kind: str) -> None:
    message = refused(objects, BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers={"content-type": kind})
    assert message.startswith("unsupported-media-type ")
    assert f"given {kind.partition(';')[0] or 'nothing'} (" in message
    assert message.endswith("(curl -F model=@model.onnx -F batch=@batch.npz)")


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary="])
def test_a_form_without_a_boundary_is_told_what_it_lacks(objects: ObjectFolder, kind: str) -> None:
    message = refused(objects, BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers={"content-type": kind})
    assert "given it without a boundary (curl -F" in message


def test_parts_that_say_nothing_are_counted_all_the_same(objects: ObjectFolder) -> None:
    nothing_chosen = raw_part(b'Content-Disposition: form-data; name="external_data"; filename=""\r\n', b"")
    some, many = (nothing_chosen * number + BODY for number in (MOST_PARTS - BODY.count(b"Content-D"), MOST_PARTS))
    assert f"more than {MOST_PARTS} parts" in refused(objects, many, HTTPStatus.BAD_REQUEST)
    assert upload(objects, some).blobs


def test_a_request_without_a_content_type_is_refused(objects: ObjectFolder) -> None:
    assert "given nothing (" in refused(objects, BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers={})


def test_a_content_type_that_is_no_text_is_refused_like_any_other(objects: ObjectFolder) -> None:
    refused(objects, BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, headers={"content-type": "text/\xff"})


def test_an_overlong_boundary_is_refused(objects: ObjectFolder) -> None:
    headers = {"content-type": f"multipart/form-data; boundary={'b' * 5000}"}
    refused(objects, BODY, HTTPStatus.BAD_REQUEST, headers=headers)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("overlong", ["name", "value", "many"])
def test_overlong_part_headers_are_refused(objects: ObjectFolder, overlong: str, size: int) -> None:
    long = b"x" * 10_000
    headers = {"name": long + b": 1\r\n", "value": b"X-Long: " + long + b"\r\n", "many": b"X-Many: 1\r\n" * 1000}
    disposition = b'Content-Disposition: form-data; name="model"\r\n'
    body = raw_part(headers[overlong] + disposition, MODEL) + END
    refused(objects, body, HTTPStatus.BAD_REQUEST, size=size)


def test_a_length_over_the_limit_is_refused_before_a_byte_is_read(objects: ObjectFolder) -> None:
    async def untouched() -> AsyncIterator[bytes]:
        pytest.fail("read")
        yield b""

    headers = HEADERS | {"content-length": str(LIMITS.total + MULTIPART_OVERHEAD + 1)}
    message = refused(objects, untouched(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, headers=headers)
    assert "upload-too-large" in message
    assert str(LIMITS.total) in message


def test_a_length_of_just_the_limit_is_read(objects: ObjectFolder) -> None:
    headers = HEADERS | {"content-length": str(LIMITS.total + MULTIPART_OVERHEAD)}
    assert upload(objects, BODY, headers=headers).names["model"] == "network.onnx"


def test_parts_and_what_is_around_them_may_fill_the_limit_and_its_margin_to_the_byte(objects: ObjectFolder) -> None:
    body = PARTS["model"] + END
    noise = b"x" * (LIMITS.total + MULTIPART_OVERHEAD - len(body))
    assert objects.get(upload(objects, body + noise).blobs["model"].sha256) == MODEL


def test_one_byte_more_around_the_parts_is_refused_with_the_limit(objects: ObjectFolder) -> None:
    body = PARTS["model"] + END
    noise = b"x" * (LIMITS.total + MULTIPART_OVERHEAD - len(body) + 1)
    message = refused(objects, body + noise, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    assert f"more than the {LIMITS.total} bytes" in message


@pytest.mark.parametrize("claimed", [None, "10"])
def test_bytes_over_the_limit_are_refused_as_they_come_whatever_length_was_claimed(
    objects: ObjectFolder, claimed: str | None
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield part("model", b"x" * 100)[: -len("\r\n")]
        while True:
            sent += 1000
            yield b"x" * 1000

    headers = HEADERS if claimed is None else HEADERS | {"content-length": claimed}
    refused(objects, endless(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE, headers=headers)
    assert sent <= LIMITS.total + BACKLOG + 1000  # what may wait for the thread that writes


def test_model_and_batch_share_the_limit(objects: ObjectFolder) -> None:
    half = b"x" * (LIMITS.total // 2 + 1)
    body = part("model", half) + part("batch", half) + END
    refused(objects, body, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, size=1000)


@pytest.mark.parametrize(("start", "noise"), [(b"", b"\r\n" * 5000), (BODY, b"x" * 10_000)], ids=["before", "after"])
def test_bytes_outside_of_the_parts_count_too(objects: ObjectFolder, start: bytes, noise: bytes) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield start
        for _ in range(10 * MULTIPART_OVERHEAD // len(noise)):
            yield noise
        pytest.fail("read ten times the limit")

    refused(objects, endless(), HTTPStatus.REQUEST_ENTITY_TOO_LARGE)


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_options_too_long_are_refused(objects: ObjectFolder, size: int) -> None:
    body = PARTS["model"] + part("options", b" " * (LIMITS.options + 1), None) + END
    message = refused(objects, body, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, size=size)
    assert str(LIMITS.options) in message


def test_options_of_exactly_the_limit_are_read(objects: ObjectFolder) -> None:
    body = PARTS["model"] + part("options", OPTIONS.ljust(LIMITS.options), None) + END
    assert upload(objects, body).options == AnalysisOptions(seed=7)


@pytest.mark.parametrize("options", [b"{", b"[]", b"\xff", b'{"unknown": 1}', b'{"seed": -1}', b'{"seed": NaN}'])
def test_bad_options_are_refused_and_leave_nothing(objects: ObjectFolder, options: bytes) -> None:
    with pytest.raises(BadOptions, match="options"):
        upload(objects, PARTS["model"] + part("options", options, None) + END)
    assert files(objects) == []


def test_a_client_that_falls_silent_is_refused(objects: ObjectFolder) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield BODY[:100]
        await asyncio.sleep(60)

    message = refused(objects, silent(), HTTPStatus.REQUEST_TIMEOUT, limits=limits_of(patience=Patience(0.05, 1e-3)))
    assert "upload-idle" in message
    assert "0.05" in message


def test_a_slow_client_that_goes_on_sending_is_served(objects: ObjectFolder) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), 100):
            await asyncio.sleep(0.05)
            yield BODY[start : start + 100]

    received = upload(objects, slow(), limits=limits_of(patience=Patience(0.3, 500.0)))
    assert objects.get(received.blobs["model"].sha256) == MODEL


def test_a_client_that_hangs_up_leaves_nothing(objects: ObjectFolder) -> None:
    class HungUpError(Exception):
        pass

    async def hanging_up() -> AsyncIterator[bytes]:
        yield BODY[:300]
        raise HungUpError

    with pytest.raises(HungUpError):
        upload(objects, hanging_up())
    assert files(objects) == []


def test_a_refused_upload_keeps_what_others_sent_before(objects: ObjectFolder) -> None:
    kept = upload(objects, PARTS["model"] + END).blobs["model"]
    with pytest.raises(ProblemError):
        upload(objects, PARTS["model"] + part("weights", b"w") + END)
    assert objects.get(kept.sha256) == MODEL
    assert len(files(objects)) == 1


# ------------------------------------------------------------------ blobs that were sent ahead

A, B, C = "a" * 64, "b" * 64, "c" * 64


def sent_ahead(*names: str) -> Sizes:
    """What a tenant has: of 1000 bytes each, but for C, which is empty."""
    return lambda asked: {name: 0 if name == C else 1000 for name in asked if name in names}


def blobs(**named: object) -> bytes:
    return part("blobs", json.dumps(named).encode(), None)


def test_blobs_stand_for_files(objects: ObjectFolder) -> None:
    body = blobs(model=A, model_name="C:\\nets\\network.onnx", batch=B, external_data={"w.bin": A}) + END
    received = upload(objects, body, sizes=sent_ahead(A, B), limits=limits_of(options=1000))
    assert received.blobs == {"model": Blob(A, 1000), "batch": Blob(B, 1000)}
    assert received.data_files == {"w.bin": Blob(A, 1000)}
    assert received.names == {"model": "network.onnx"}
    assert files(objects) == []


def test_files_and_blobs_may_be_mixed(objects: ObjectFolder) -> None:
    data = part("external_data", b"weights", "one.bin")
    body = blobs(model=A, external_data={"two.bin": B}) + PARTS["batch"] + data + PARTS["options"] + END
    received = upload(objects, body, sizes=sent_ahead(A, B), limits=limits_of(options=1000))
    assert (received.blobs["model"], received.data_files["two.bin"]) == (Blob(A, 1000), Blob(B, 1000))
    assert objects.get(received.blobs["batch"].sha256) == BATCH
    assert objects.get(received.data_files["one.bin"].sha256) == b"weights"
    assert (received.options.seed, received.names["batch"]) == (7, "batch.npz")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (blobs(model=A[:-1]), ["blobs.model", "pattern"]),
        (blobs(model="A" * 64), ["blobs.model", "pattern"]),
        (blobs(modell=A), ["blobs.modell", "not permitted"]),
        (part("blobs", b"{", None), ["blobs:", "JSON"]),
        (part("blobs", b"[]", None), ["blobs:", "object"]),
        (blobs(), ["'model' is missing"]),
        (blobs(batch=B), ["'model' is missing"]),
        (PARTS["model"] + blobs(model=A), ["model:", "named among the blobs"]),
        (PARTS["model"] + PARTS["batch"] + blobs(batch=B), ["batch:", "named among the blobs"]),
        (blobs(model=A) + blobs(model=A), ["blobs:", "sent twice"]),
        (blobs(model=A, external_data={"../w": B}), ["no plain file name"]),
        (blobs(model=A, external_data={"": B}), ["no plain file name"]),
        (blobs(model=A, external_data={"w": B}) + part("external_data", b"x", "w"), ["'w' was sent twice"]),
    ],
)
def test_other_references_are_refused(objects: ObjectFolder, body: bytes, words: list[str]) -> None:
    told = refused(objects, body + END, HTTPStatus.BAD_REQUEST, sizes=sent_ahead(A, B), limits=limits_of(options=1000))
    assert all(word in told for word in words), told


def test_a_blob_that_one_has_not_is_no_blob(objects: ObjectFolder) -> None:
    for named, where in (
        ({"model": A}, "blobs.model"),
        ({"model": B, "external_data": {"w": A}}, "blobs.external_data.w"),
    ):
        told = refused(
            objects,
            blobs(**named) + END,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            sizes=sent_ahead(B),
            limits=limits_of(options=1000),
        )
        assert told.startswith(f"no-such-blob {where}: ")
        assert f"PUT /v1/blobs/{A}" in told


def test_an_empty_blob_is_no_model(objects: ObjectFolder) -> None:
    with pytest.raises(NotOnnx, match="empty"):
        upload(objects, blobs(model=C) + END, sizes=sent_ahead(C))


def test_blobs_count_with_what_is_sent(objects: ObjectFolder) -> None:
    body, limits = blobs(model=A, batch=B) + END, limits_of(total=2100)
    refused(objects, body, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sizes=sent_ahead(A, B), limits=limits)
    upload(objects, blobs(model=A) + END, sizes=sent_ahead(A, B), limits=limits)


def test_there_is_a_limit_of_data_files_however_they_are_sent(objects: ObjectFolder) -> None:
    many = {f"{number}.bin": B for number in range(MOST_DATA_FILES)}
    limits = limits_of(total=1 << 20, options=1 << 14)
    received = upload(objects, blobs(model=A, external_data=many) + END, sizes=sent_ahead(A, B), limits=limits)
    assert len(received.data_files) == MOST_DATA_FILES
    body = blobs(model=A, external_data=many) + part("external_data", b"x", "one more") + END
    refused(objects, body, HTTPStatus.BAD_REQUEST, sizes=sent_ahead(A, B), limits=limits)


def test_with_several_tenants_what_is_there_is_stored_once_more(objects: ObjectFolder) -> None:
    upload(objects, BODY)
    before = {path: path.stat().st_ino for path in files(objects)}
    upload(objects, BODY)
    assert {path: path.stat().st_ino for path in files(objects)} == before
    upload(objects, BODY, limits=dataclasses.replace(LIMITS, anew=True))
    after = {path: path.stat().st_ino for path in files(objects)}
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
