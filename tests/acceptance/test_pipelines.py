"""The examples for pipelines, each run by a shell as its runner would, with the runner's variables made up."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from junitparser import JUnitXml
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.gallery import he, mlp, vectors, xavier

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
pytestmark = pytest.mark.server
"""A dozen processes, each of which loads torch."""
QUICK = '{"effort":"quick"}'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout with a healthy and a sick model; names that a shell would take apart."""
    (tmp_path / "models of $USER").mkdir()
    (tmp_path / "models of $USER" / "sick.onnx").write_bytes(mlp(12, "Sigmoid", xavier(), width=16))
    (tmp_path / "healthy.onnx").write_bytes(mlp(3, "Relu", he(), width=16))
    (tmp_path / "batch.npz").write_bytes(vectors())
    return tmp_path


SICK = "models of $USER/sick.onnx"


def shell(script: str, folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """bash as runners call it, with the command of this environment."""
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_STEP_SUMMARY"}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment |= {"PATH": path, "PYTHONPATH": str(ROOT), **variables}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script, "bash", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


# ------------------------------------------------------------------ GitHub


def action(folder: Path, **inputs: str) -> tuple["subprocess.CompletedProcess[str]", str, dict[str, str]]:
    """Outcome, summary of the job, outputs of the step."""
    described = yaml.safe_load((DEPLOY / "github/action.yml").read_text())
    defaults = {name: each.get("default", "") for name, each in described["inputs"].items()}
    given = (
        defaults
        | {"package": "none", "options": QUICK}
        | {name.replace("_", "-"): text for name, text in inputs.items()}
    )
    (step,) = described["runs"]["steps"]
    assert "${{" not in step["run"], "inputs are no part of the script"
    variables = {
        name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: given[found[1]], text)
        for name, text in step["env"].items()
    }
    files = {name: folder.parent / f"{folder.name}.{name}" for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    for path in files.values():
        path.write_text("# of an earlier line\n")
    done = shell(step["run"], folder, **variables, **{name: str(path) for name, path in files.items()})
    lines = files["GITHUB_OUTPUT"].read_text().splitlines()[1:]
    return done, files["GITHUB_STEP_SUMMARY"].read_text(), dict(line.split("=", 1) for line in lines)


def test_the_action_annotates_summarises_and_fails(repository: Path) -> None:
    done, summary, outputs = action(repository, model=SICK, batch="batch.npz", reports="out of it")
    assert done.returncode == 1, done.stderr
    assert f"::error file={SICK},line=1,title=GH101 vanishing-gradient" in done.stdout
    assert summary.startswith("# of an earlier line\n## 🔴 `sick.onnx`: unhealthy")
    assert outputs == {"verdict": "unhealthy", "sarif": "out of it/report.sarif"}
    (run,) = json.loads((repository / outputs["sarif"]).read_text())["runs"]
    assert run["artifacts"][0]["location"]["uri"] == "models%20of%20%24USER/sick.onnx"
    assert {path.name for path in (repository / "out of it").iterdir()} == {
        "report.json", "report.html", "report.sarif", "junit.xml",
    }  # fmt: skip


def test_the_action_passes_a_healthy_model_without_a_batch(repository: Path) -> None:
    done, _, outputs = action(repository, model="healthy.onnx")
    assert (done.returncode, outputs["verdict"]) == (0, "healthy"), done.stderr


def test_the_action_fails_for_what_it_cannot_analyse_and_tells_no_older_verdict(repository: Path) -> None:
    (repository / "gradient-health").mkdir()
    (repository / "gradient-health" / "report.json").write_text("an older one")
    done, summary, outputs = action(repository, model="batch.npz")
    assert (done.returncode, outputs, summary) == (2, {}, "# of an earlier line\n")
    assert "error: " in done.stderr


@pytest.mark.parametrize(("package", "installed"), [("", "deploy/github/../.."), ("a.whl", "a.whl"), ("none", None)])
def test_the_action_installs_the_version_that_it_is_of(tmp_path: Path, package: str, installed: str | None) -> None:
    (step,) = yaml.safe_load((DEPLOY / "github/action.yml").read_text())["runs"]["steps"]
    install, _, _ = step["run"].partition("mkdir")
    (tmp_path / "python3").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > asked\n')
    (tmp_path / "python3").chmod(0o755)
    done = shell(
        install, tmp_path, PACKAGE=package, GITHUB_ACTION_PATH="deploy/github", PATH=f"{tmp_path}:{os.environ['PATH']}"
    )
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text().split() if (tmp_path / "asked").exists() else [None]
    assert asked[-1] == installed


def test_the_outputs_of_the_action_are_those_of_its_step() -> None:
    described = yaml.safe_load((DEPLOY / "github/action.yml").read_text())
    (step,) = described["runs"]["steps"]
    for name, each in described["outputs"].items():
        assert each["value"] == f"${{{{ steps.{step['id']}.outputs.{name} }}}}"
    used = set(re.findall(r"inputs\.([\w-]+)", " ".join(step["env"].values())))
    assert used == set(described["inputs"])


# ------------------------------------------------------------------ GitLab


def job(**inputs: str) -> dict[str, Any]:
    """The component as GitLab reads it: inputs interpolated, each of them declared."""
    head, body = (DEPLOY / "gitlab/templates/gradient-health.yml").read_text().split("\n---\n")
    declared = yaml.safe_load(head)["spec"]["inputs"]
    given = {name: (each or {}).get("default") for name, each in declared.items()}
    given |= {name.replace("_", "-"): text for name, text in inputs.items()}
    filled = re.sub(r"\$\[\[ inputs\.([\w-]+) \]\]", lambda found: str(given[found[1]]), body)
    (named,) = yaml.safe_load(filled).values()
    return dict(named)


@pytest.mark.parametrize(("model", "code"), [(SICK, 1), ("healthy.onnx", 0)])
def test_the_component_writes_the_reports_that_it_declares(repository: Path, model: str, code: int) -> None:
    described = job(model=model, batch="batch.npz", options=QUICK)
    done = shell("\n".join(described["script"]), repository, CI="true", GITLAB_CI="true", **described["variables"])
    assert done.returncode == code, done.stderr
    reports = {kind: repository / path for kind, path in described["artifacts"]["reports"].items()}
    (suite,) = JUnitXml.fromfile(str(reports["junit"]))
    assert bool(suite.failures) is bool(code)
    assert all(each["location"]["path"] == model for each in json.loads(reports["codequality"].read_text()))
    families = list(text_string_to_metric_families(reports["metrics"].read_text()))  # type: ignore[no-untyped-call]
    assert "gradient_health_verdict" in {each.name for each in families}
    assert all((repository / path).stat().st_size for path in described["artifacts"]["paths"])


# ------------------------------------------------------------------ Jenkins, pre-commit


@pytest.mark.parametrize(("model", "code"), [(SICK, 1), ("healthy.onnx", 0), ("batch.npz", 2)])
def test_the_stage_of_jenkins_writes_what_it_collects(repository: Path, model: str, code: int) -> None:
    text = (DEPLOY / "jenkins/Jenkinsfile").read_text()
    assert text.count("{") == text.count("}")
    (script,) = re.findall(r"script: '''(.*?)'''", text, re.DOTALL)
    (repository / "gradient-health.toml").write_text('effort = "quick"')
    done = shell(script, repository, MODEL=model, BATCH="batch.npz")
    assert done.returncode == code, done.stderr
    (results,) = re.findall(r"testResults: '(.+?)'", text)
    assert (repository / results).exists() is (code < 2)


def test_the_hook_analyses_every_model_that_is_committed(repository: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (named,) = yaml.safe_load((DEPLOY / "pre-commit/pre-commit-config.yaml").read_text())["repos"]
    assert named["hooks"] == [{"id": hook["id"]}]
    assert re.search(hook["files"], SICK)
    assert not re.search(hook["files"], "net.onnx.txt")
    entry = shlex.split(hook["entry"])
    done = shell('exec "$@"', repository, *entry, SICK, "healthy.onnx")
    assert done.returncode == 1, done.stderr
    assert "sick.onnx: UNHEALTHY" in done.stdout
    assert "healthy.onnx: " in done.stdout
    assert shell('exec "$@"', repository, *entry, "healthy.onnx").returncode == 0


# ------------------------------------------------------------------ what the documentation shows


def test_the_examples_of_the_documentation_name_what_there_is() -> None:
    text = (ROOT / "docs/ci.md").read_text()
    github, gitlab = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", text, re.DOTALL))
    steps = github["jobs"]["gradients"]["steps"]
    (ours,) = (each for each in steps if "gradient-health" in each.get("uses", ""))
    described = yaml.safe_load((ROOT / ours["uses"].split("/", 2)[2].split("@")[0] / "action.yml").read_text())
    assert set(ours["with"]) <= set(described["inputs"])
    used = re.findall(rf"steps\.{ours['id']}\.outputs\.(\w+)", text)
    assert used
    assert set(used) <= set(described["outputs"])
    (included,) = gitlab["include"]
    head, _ = (ROOT / included["file"].lstrip("/")).read_text().split("\n---\n")
    declared = yaml.safe_load(head)["spec"]["inputs"]
    needed = {name for name, each in declared.items() if "default" not in each}
    assert needed <= set(included["inputs"]) <= set(declared)


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_valid_and_executable(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)
