"""The documentation: its site builds and stands alone, its commands and its notebook run, its pictures are fresh."""

import os
import re
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from analysis.diagnosis.rules import RULES
from analysis.interventions.shelf import INTERVENTIONS
from tests.acceptance.conftest import serving

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
pytestmark = pytest.mark.server
"""A kernel is one, too."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if find_spec("mkdocs") is None:
        pytest.skip("mkdocs is not installed: make docs does it")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return folder


def test_the_site_has_a_page_for_every_rule_treatment_and_route(site: Path) -> None:
    for rule in RULES:
        assert f'href="{rule.id}.html">{rule.id}</a>' in (site / "rules/index.html").read_text()
        assert f"<code>{rule.id}." in (site / f"rules/{rule.id}.html").read_text() or not rule.thresholds
    for each in INTERVENTIONS:
        assert f"<code>{each.token}</code>" in (site / f"treatments/{each.file}.html").read_text()
    assert re.search(r"<code>/v1/analyses/\{\w+\}/cancel</code>", (site / "api.html").read_text())
    assert "<code>GRADIENT_HEALTH_JOB_SLOTS</code>" in (site / "settings.html").read_text()
    assert "DNS rebinding" in (site / "security.html").read_text()
    assert "CUDA" in (site / "limits.html").read_text(), "a section of the README"


def test_the_site_loads_nothing_from_elsewhere_and_no_link_out_of_the_folder_is_left(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text()
        loaded = re.findall(r"""<(?:script|img|iframe)[^>]*?src=["']?(?:https?:)?//[^"' >]+""", text)
        loaded += re.findall(r"""<link[^>]*?href=["']?(?:https?:)?//[^"' >]+""", text)
        assert not loaded, page
        for target in re.findall(r'(?:href|src)="([^"#:?]+)"', text):
            assert (page.parent / target).exists() or page.name == "404.html", f"{page}: {target}"


@pytest.mark.parametrize("page", ["person", "ci"])
def test_the_commands_of_a_tutorial_run(page: str, tmp_path: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL)
    commands = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with serving(tmp_path) as service:
        script = "\n".join(["set -eux", *commands]).replace("http://127.0.0.1:8000", service.url)
        told = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env={**os.environ, "PATH": path}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


def test_the_notebook_runs_and_prints_what_is_kept_in_it() -> None:
    notebook = nbformat.read(DOCS / "notebook.ipynb", 4)
    kept = [output.text for cell in notebook.cells for output in cell.get("outputs", ())]
    NotebookClient(notebook, timeout=300).execute()
    printed = [output.text for cell in notebook.cells for output in cell.get("outputs", ())]
    blank = [[NUMBER.sub("#", text) for text in texts] for texts in (printed, kept)]
    assert blank[0] == blank[1]
    before, after = (float(text.split()[1]) for text in (printed[0], printed[-1]))
    assert before > 1.3, "chance"
    assert after < 0.3


@pytest.mark.parametrize("name", ["flow", "trunk"])
def test_the_pictures_are_what_their_script_draws(name: str) -> None:
    draw = runpy.run_path(str(DOCS / "draw.py"))
    drawn, kept = draw["picture"](draw[name]()), (DOCS / "pictures" / f"{name}.svg").read_text()
    assert NUMBER.sub("#", drawn) == NUMBER.sub("#", kept), "python docs/draw.py"
    numbers = [np.array(NUMBER.findall(text), float) for text in (drawn, kept)]
    np.testing.assert_allclose(numbers[0], numbers[1], atol=2)
