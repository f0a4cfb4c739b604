"""Files that commands read and write: mistakes are told with the name of the file."""

from pathlib import Path

from analysis.errors import BadOptions
from analysis.excerpt import Excerpt, read_excerpt


def read_report(path: Path) -> Excerpt:
    """What a comparison needs of the report in a file. Raises BadOptions, BadReport."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadOptions(f"cannot be read: {error.strerror}", where=str(path)) from error
    return read_excerpt(content, str(path))


def write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all. Raises BadOptions."""
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadOptions(f"cannot be written: {error.strerror}", where=str(path)) from error
