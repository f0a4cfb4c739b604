"""Files that commands read and write: mistakes are told with the name of the file."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from analysis.comparison.excerpt import Excerpt, read_excerpt
from analysis.errors import BadOptions, BadReport
from analysis.report import Report


def read_report(path: Path) -> Excerpt:
    """What a comparison needs of the report in a file. Raises BadOptions, BadReport."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadOptions(f"cannot be read: {error.strerror}", where=str(path)) from error
    return read_excerpt(content, str(path))


def read_whole_report(path: Path) -> Report:
    """The report in a file, or from standard input for `-`. Raises BadOptions, BadReport."""
    try:
        return Report.from_json(sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes())
    except OSError as error:
        raise BadOptions(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise BadReport(f"{field}: {first['msg']}".removeprefix(": "), where=str(path)) from error


def write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all. Raises BadOptions."""
    write_all({path: content})


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Every file whole, and all of them or none. Raises BadOptions.

    What is no file of its own, such as /dev/stdout, a named pipe or a link, is written to as it is, and last.
    """
    files = [path for path in contents if not path.exists() or (path.is_file() and not path.is_symlink())]
    parts = {path: path.with_name(path.name + ".part") for path in files}
    for path, part in parts.items():
        with _named(path, parts.values()):
            part.write_bytes(contents[path])
    for path, part in parts.items():
        with _named(path, parts.values()):
            part.replace(path)
    for path in contents.keys() - parts.keys():
        with _named(path, ()):
            path.write_bytes(contents[path])


@contextmanager
def _named(path: Path, parts: Iterable[Path]) -> Iterator[None]:
    """A failure leaves nothing half written and names the file."""
    try:
        yield
    except OSError as error:
        for part in parts:
            with suppress(OSError):
                part.unlink()
        raise BadOptions(f"cannot be written: {error.strerror}", where=str(path)) from error
