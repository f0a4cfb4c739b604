"""Options from a file: `gradient-health.toml`, or the table `[tool.gradient-health]` of a pyproject.toml.

The nearest one counts, from the current folder upwards, as with ruff; what the command line says wins over it.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from analysis.errors import BadOptions

OWN: Final = "gradient-health.toml"
SHARED: Final = "pyproject.toml"
TABLE: Final = "gradient-health"


def find_configuration(start: Path) -> tuple[Path, dict[str, Any]] | None:
    """The nearest file with settings of ours and what it says, keys with dashes read as underscores.

    Raises BadOptions for a file that is no TOML.
    """
    for path in _candidates(start.resolve()):
        table = read_configuration(path)
        if table is not None:
            return path, table
    return None


def read_configuration(path: Path) -> dict[str, Any] | None:
    """The settings in a file; None for a pyproject.toml without a table of ours. Raises BadOptions."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadOptions(f"cannot be read: {error}", where=str(path)) from error
    if path.name == SHARED:
        content = content.get("tool", {}).get(TABLE)
    return None if content is None else {key.replace("-", "_"): value for key, value in content.items()}


def _candidates(start: Path) -> Iterator[Path]:
    for folder in (start, *start.parents):
        yield from (path for path in (folder / OWN, folder / SHARED) if path.is_file())
