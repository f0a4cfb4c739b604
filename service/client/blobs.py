"""Files that are sent ahead of an analysis, and only where the service has them not."""

import hashlib
import io
import json
from collections.abc import Iterable
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from service.client.answers import succeeded
from service.client.content import Part
from service.client.errors import failure
from service.client.steps import Call, Send, chunks


def put_blob(content: Path | bytes) -> Call[str]:
    """Have the service keep a file for a while; its sha256."""
    with ExitStack() as files:
        file = io.BytesIO(content) if isinstance(content, bytes) else files.enter_context(content.open("rb"))
        sha256 = _sha256(file)
        yield from _put(file, sha256)
    return sha256


def sent_ahead(parts: Iterable[Part], *, again: bool = False) -> Call[str]:
    """The part `blobs` of a form, in place of these files; `again`: whatever the service says that it has."""
    references: dict[str, Any] = {"external_data": {}}
    for part, (name, content) in parts:
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        sha256 = _sha256(file)
        if again or not (yield from _is_there(sha256)):
            yield from _put(file, sha256)
        if part == "external_data":
            references[part][name] = sha256
        else:
            references[part] = sha256
        if part == "model":
            references["model_name"] = name
    return json.dumps(references)


def is_missing_blob(response: httpx.Response) -> bool:
    """Whether a form was refused for naming what is not there."""
    if response.status_code != HTTPStatus.UNPROCESSABLE_ENTITY:
        return False
    return failure(response).problem.code == "no-such-blob"


def _is_there(sha256: str) -> Call[bool]:
    response: httpx.Response = yield Send("GET", f"/v1/blobs/{sha256}")
    if response.status_code == HTTPStatus.NOT_FOUND:
        return False
    return succeeded(response).is_success


def _put(file: BinaryIO, sha256: str) -> Call[None]:
    size = file.seek(0, io.SEEK_END)
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    response = yield Send("PUT", f"/v1/blobs/{sha256}", {"headers": headers}, body=file)
    succeeded(response)


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    for chunk in chunks(file):
        digest.update(chunk)
    return digest.hexdigest()
