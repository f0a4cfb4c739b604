"""Blobs by name: one that is sent ahead, and the part of a form that names those that were.

PUT /v1/blobs/{sha256}      the bytes
part `blobs`                {"model": sha256, "batch": sha256, "external_data": {"weights.bin": sha256}}
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final

from anyio import CancelScope
from anyio.to_thread import run_sync
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from service.intake.body import UploadLimits, capped, impatient, keeping_reserve, pour, refuse_encoding, too_large
from service.objects.blob import Blob, Objects
from service.problems import ProblemError, refusal

PART: Final = "blobs"
SHA256: Final = "^[0-9a-f]{64}$"
Name = Annotated[str, StringConstraints(pattern=SHA256)]
Sizes = Callable[[Collection[str]], Mapping[str, int]]
"""Those of these blobs that a tenant has, and their bytes."""


class References(BaseModel):
    """Blobs in place of the files of a form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Name | None = None
    model_name: str = Field(default="", max_length=255)
    """What its file would be called."""
    batch: Name | None = None
    external_data: Mapping[str, Name] = Field(default_factory=dict)
    """By the names that the model has for them."""

    @property
    def named(self) -> dict[str, str]:
        """Where in the part -> sha256."""
        files = {"model": self.model, "batch": self.batch}
        found = {f"{PART}.{name}": sha256 for name, sha256 in files.items() if sha256 is not None}
        return found | {f"{PART}.external_data.{name}": sha256 for name, sha256 in self.external_data.items()}


def parse_references(said: bytes) -> References:
    """The part of a form. Raises ProblemError: 400."""
    try:
        return References.model_validate_json(said)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([PART, *map(str, first["loc"])])[:200]
        hint = '{"model": "sha256 in hexadecimal", "external_data": {"weights.bin": "sha256"}}'
        raise refusal("bad-request", HTTPStatus.BAD_REQUEST, first["msg"], where=where, hint=hint) from error


def resolve(references: References, sizes: Sizes) -> dict[str, Blob]:
    """The blobs by their sha256. Raises ProblemError: 422 for one that the tenant has not, whoever else may."""
    there = sizes(set(references.named.values()))
    for where, sha256 in references.named.items():
        if sha256 not in there:
            hint = f"PUT /v1/blobs/{sha256} first"
            raise refusal(
                "no-such-blob", HTTPStatus.UNPROCESSABLE_ENTITY, "there is no such blob", where=where, hint=hint
            )
    return {sha256: Blob(sha256, size) for sha256, size in there.items()}


async def receive_blob(
    headers: Mapping[str, str], body: AsyncIterator[bytes], sha256: str, objects: Objects, limits: UploadLimits
) -> Blob:
    """Store a body that has this sha256; nothing of another one is kept.

    Raises ProblemError: 400 another content, 408 too slow, 413 too large, 415 compressed, 503 stopping,
    507 no room.
    """
    refuse_encoding(headers)
    if int(headers.get("content-length") or 0) > limits.total:
        raise too_large(limits.total)
    files = ExitStack()
    try:
        opened = partial(objects.writer, anew=limits.anew)
        writer = await run_sync(lambda: files.enter_context(opened()), limiter=limits.threads)
        write = keeping_reserve(writer.write, limits.has_reserve)
        await pour(capped(impatient(body, limits.patience), limits.total), write, limits.threads)
        if writer.sha256 != sha256:
            raise _other_content(writer.sha256)
        return await run_sync(writer.commit, limiter=limits.threads)
    finally:
        with CancelScope(shield=True):  # a client that hung up leaves nothing behind, either
            await run_sync(files.close, limiter=limits.threads)


def _other_content(sha256: str) -> ProblemError:
    return refusal(
        "digest-mismatch",
        HTTPStatus.BAD_REQUEST,
        f"the body has the sha256 {sha256}",
        where="sha256",
        hint="the address ends in the sha256 of the bytes, in lower-case hexadecimal",
    )
