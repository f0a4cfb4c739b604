"""Options from files: which one counts, and what it says when it is wrong."""

from pathlib import Path

import pytest

from analysis.errors import BadOptions
from service.cli._configuration import find_configuration, read_configuration


def test_the_nearest_file_counts_and_the_own_one_before_the_shared_one(tmp_path: Path) -> None:
    inner = tmp_path / "models" / "large"
    inner.mkdir(parents=True)
    (tmp_path / "gradient-health.toml").write_text('effort = "quick"')
    assert find_configuration(inner) == (tmp_path / "gradient-health.toml", {"effort": "quick"})
    (tmp_path / "models" / "pyproject.toml").write_text('[tool.gradient-health]\nfail-on = "warning"')
    assert find_configuration(inner) == (tmp_path / "models" / "pyproject.toml", {"fail_on": "warning"})
    (tmp_path / "models" / "gradient-health.toml").write_text("seed = 3")
    assert find_configuration(inner) == (tmp_path / "models" / "gradient-health.toml", {"seed": 3})


def test_a_pyproject_without_a_table_of_ours_is_passed_over(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("[tool.other]\nx = 1")
    (tmp_path / "gradient-health.toml").write_text("seed = 3")
    assert find_configuration(inner) == (tmp_path / "gradient-health.toml", {"seed": 3})


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "gradient-health.toml"
    path.write_text("effort = ")
    with pytest.raises(BadOptions) as caught:
        read_configuration(path)
    assert caught.value.where == str(path)
