"""What shells offer after Tab: asked as the scripts of typer ask, and by shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis.diagnosis.rules import RULES
from analysis.interventions.shelf import BY_TOKEN
from analysis.options import Effort, LossName
from analysis.render.formats import BY_NAME
from service.cli._completion import formats, rule_ids, selections, severities, treatments, words_of

ROOT = Path(__file__).parents[3]
LAUNCHER = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
sys.argv[0] = "gradient-health"
from service.cli import app
app(prog_name="gradient-health")
"""


def words(offers: list[tuple[str, str]]) -> list[str]:
    return [word for word, _ in offers]


def test_what_is_offered_is_what_is_there() -> None:
    assert words(rule_ids("")) == [rule.id for rule in RULES]
    assert rule_ids("vanish") == [("vanishing-gradient", "GH101")]
    assert words(selections("GH5"))[:2] == ["GH5", "GH501"]
    assert set(words(treatments(""))) == set(BY_TOKEN)
    assert all(meaning for _, meaning in treatments(""))
    assert words(formats("j")) == [name for name in BY_NAME if name.startswith("j")]
    assert words(severities("err")) == ["error", "error,inconclusive"]
    assert words(words_of(Effort)("")) == [each.value for each in Effort]
    assert words(words_of(LossName)("m")) == ["mse"]
    assert rule_ids("nonsense") == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the command is found by its name."""
    launcher = tmp_path / "gradient-health"
    launcher.write_text(LAUNCHER)
    launcher.chmod(0o755)
    return tmp_path


def asked(folder: Path, *command: str, **environment: str) -> str:
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    told = {**os.environ, "PATH": path, "HOME": str(folder), **environment}
    done = subprocess.run(command, env=told, cwd=folder, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def test_bash_completes_commands_options_values_and_files(folder: Path) -> None:
    (folder / "model.onnx").touch()
    lines = {
        "gradient-health mlflow": "mlflow mlflow-webhook",
        "gradient-health analyze --js": "--json",
        "gradient-health rules GH10": "GH101 GH102 GH103 GH104 GH105 GH106 GH107 GH108 GH109",
        "gradient-health interventions lsu": "lsuv",
        "gradient-health analyze a.onnx --ignore flat": "flat-output",
        "gradient-health analyze mod": "",  # bash itself completes files
    }
    script = asked(folder, "gradient-health", _GRADIENT_HEALTH_COMPLETE="source_bash")
    assert "complete -o default" in script
    for line in lines:
        typed = line.split(" ")
        script += (
            f"COMP_WORDS=({line}); COMP_CWORD={len(typed) - 1}; _gradient_health_completion gradient-health; "
            'echo "${COMPREPLY[*]}"\n'
        )
    assert asked(folder, "bash", "-c", script).splitlines() == list(lines.values())


def test_zsh_is_told_what_each_means(folder: Path) -> None:
    environment = {"_GRADIENT_HEALTH_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "gradient-health rules GH101"}
    assert asked(folder, "gradient-health", **environment) == '_arguments \'*: :(("GH101":"vanishing-gradient"))\'\n'
    script = asked(folder, "gradient-health", _GRADIENT_HEALTH_COMPLETE="source_zsh")
    assert "#compdef gradient-health" in script


def test_fish_takes_every_line_for_a_word(folder: Path) -> None:
    line = "gradient-health interventions "
    environment = {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_TYPER_COMPLETE_ARGS": line}
    told = asked(folder, "gradient-health", _GRADIENT_HEALTH_COMPLETE="complete_fish", **environment)
    assert {each.partition("\t")[0] for each in told.splitlines()} == set(BY_TOKEN)
    if shutil.which("fish") is None:
        pytest.skip("fish itself is not installed here")
    script = asked(folder, "gradient-health", _GRADIENT_HEALTH_COMPLETE="source_fish")
    said = asked(folder, "fish", "--no-config", "-c", f"{script}\ncomplete --do-complete '{line}'")
    assert {each.partition("\t")[0] for each in said.splitlines()} == set(BY_TOKEN)
