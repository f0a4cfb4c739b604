"""What a child left in its folder, stored: the report, and the repaired models that it names.

Nothing is believed. Files are opened by agreed names inside the folder, no link is followed, the report is checked to
be one, and a model counts only with the content that the report says: otherwise a report could name the upload of
somebody else, which would then be handed out as a repaired model.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from analysis.clock import BUDGET_REACHED
from analysis.report import Report
from service.objects.blob import Blob, Objects
from service.worker.protocol import MODELS, REPORT

LARGEST_REPORT: Final = 256 << 20
CHUNK: Final = 1 << 20
HREF: Final = re.compile(r"variants/([^/\0]+)/model\.onnx")
INSIDE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""No link is followed, and a pipe in the place of a file makes nobody wait."""


class BadResultError(Exception):
    """A child left something else than a report and the models that it names."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a report says."""

    models: Mapping[str, str]
    """File name -> sha256 of every model that it refers to."""
    is_whole: bool
    """Whether no budget cut it."""


@dataclass(frozen=True, slots=True)
class Results:
    """What was stored."""

    report: Blob
    models: Collection[str]
    """sha256 of each."""
    is_whole: bool
    """Whether the report follows from the question alone: no budget cut it."""

    @property
    def names(self) -> set[str]:
        """sha256 of the report and of each model."""
        return {self.report.sha256, *self.models}


def store_results(folder: Path, objects: Objects, models_bytes: int) -> Results:
    """Store what lies in a child's folder.

    Raises BadResultError; what was stored by then is named by no report.
    """
    try:
        root = os.open(folder, INSIDE | os.O_DIRECTORY)
    except OSError as error:
        raise BadResultError(f"the folder: {error.strerror}") from error
    try:
        with _opened(REPORT, root) as file:
            content = file.read(LARGEST_REPORT + 1)
        if len(content) > LARGEST_REPORT:
            raise BadResultError(f"a report of more than {LARGEST_REPORT} bytes")
        said = read_report(content)
        _store_models(said.models, root, objects, models_bytes)
    finally:
        os.close(root)
    return Results(objects.put(content), set(said.models.values()), said.is_whole)


def read_report(content: bytes) -> Said:
    """What a report says of itself and its models. Raises BadResultError."""
    try:
        report = Report.from_json(content)
    except ValueError as error:
        raise BadResultError(f"no report: {error!s:.200}") from error
    is_whole = all(each.why != BUDGET_REACHED for each in report.left_out)
    return Said(_named_models(report), is_whole)


def _named_models(report: Report) -> Mapping[str, str]:
    named: dict[str, str] = {}
    for variant in report.variants:
        if variant.model is not None:
            found = HREF.fullmatch(variant.model.href)
            if found is None or named.setdefault(f"{found[1]}.onnx", variant.model.sha256) != variant.model.sha256:
                raise BadResultError("a variant whose model is nowhere")
    return named


def _store_models(named: Mapping[str, str], root: int, objects: Objects, room: int) -> None:
    if not named:
        return
    try:
        folder = os.open(MODELS, INSIDE | os.O_DIRECTORY, dir_fd=root)
    except OSError as error:
        raise BadResultError(f"the models: {error.strerror}") from error
    try:
        for name, sha256 in named.items():
            with _opened(name, folder) as file:
                room -= _store(file, sha256, objects, room)
    finally:
        os.close(folder)


def _store(file: BinaryIO, sha256: str, objects: Objects, room: int) -> int:
    with objects.writer() as writer:
        while chunk := file.read(CHUNK):
            writer.write(chunk)
            if writer.size > room:
                raise BadResultError("models of more bytes than they may have")
        if writer.sha256 != sha256:
            raise BadResultError("a model with another content than its report says")
        writer.commit()
        return writer.size


@contextmanager
def _opened(name: str, folder: int) -> Iterator[BinaryIO]:
    """A regular file with one name, in an open folder."""
    try:
        file = os.fdopen(os.open(name, INSIDE, dir_fd=folder), "rb")
    except OSError as error:
        raise BadResultError(f"{name}: {error.strerror}") from error
    with file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
            raise BadResultError(f"{name}: no file of its own")
        yield file
