import importlib.metadata
import tomllib
from pathlib import Path

from analysis.version import VERSION

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_the_version_is_that_of_the_project_and_of_what_is_installed() -> None:
    assert tomllib.loads(PROJECT.read_text())["project"]["version"] == VERSION
    assert importlib.metadata.version("gradient-health") == VERSION
