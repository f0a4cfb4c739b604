"""Promises that no single module keeps: the house, its documents, and what a process may load."""

import ast
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from analysis.diagnosis.policy import policy
from analysis.diagnosis.rules import RULES
from analysis.model import check_model
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.render.text import render_text
from analysis.report import Severity
from analysis.report.gate import Gate
from analysis.version import VERSION
from service.broker import QUEUES
from service.cli._configuration import find_configuration
from service.settings import Settings

ROOT = Path(__file__).parents[1]
HOUSES = ("analysis", "service", "gradient_health")
SOURCES = sorted(path for folder in HOUSES for path in (ROOT / folder).rglob("*.py"))
SHELVES = (
    "analysis/diagnosis/rules",
    "analysis/interventions/shelf",
    "analysis/render",
    "analysis/convert/ops",
    "service/api/routes",
    "service/cli",
)
ALLOWED_NEIGHBOURS = {
    ("analysis/convert/ops", "convolution"),  # windows and padding are one subject with pooling
    ("analysis/convert/ops", "arithmetic"),  # broadcasting before opset 7 is one subject with comparisons
    ("analysis/convert/ops", "casting"),  # rounding to small floats is one subject with quantisation
    ("analysis/interventions/shelf", "swap_activation"),  # what is a hidden activation is asked by both
}
MADE_OF_NEIGHBOURS = {
    "analysis/render/formats.py",  # lists them
    # their operators stand for several standard ones each
    "analysis/convert/ops/contrib.py",
    "analysis/convert/ops/contrib_attention.py",
    "analysis/convert/ops/contrib_experts.py",
    "analysis/convert/ops/contrib_images.py",
    "analysis/convert/ops/contrib_older.py",
    "analysis/convert/ops/contrib_quantized.py",
}  # fmt: skip
OF_MORE_THAN_ONE_FILE = {
    "tests/analysis/convert/ops/test_every_operator.py",
    "tests/analysis/convert/ops/test_properties.py",
    "tests/analysis/convert/test_exported_loops.py",
    "tests/analysis/convert/test_half_precision.py",
    "tests/analysis/convert/test_onnx_suite.py",
    "tests/analysis/interventions/shelf/test_treatments.py",
    "tests/analysis/test_architectures.py",
    "tests/analysis/test_pitfalls.py",
    "tests/analysis/diagnosis/rules/test_rules.py",
}
README = (ROOT / "README.md").read_text()


def loaded_by(statement: str) -> set[str]:
    """Modules a fresh interpreter has loaded after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "module",
    [
        "service.app",
        "service.worker.supervisor",
        "service.client",
        "analysis.diagnosis.rules",
        "analysis.render.formats",
        "analysis.comparison.compare",
        "analysis",
    ],
)
def test_the_web_process_the_supervisor_and_the_clinic_load_neither_torch_nor_onnx(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"torch", "onnxruntime", "onnx"}


@pytest.mark.parametrize(
    "module", ["service.worker.__main__", "service.client", "gradient_health.client", "service.runners.embedded"]
)
def test_the_supervisor_and_clients_load_no_web_framework_and_no_graphs(module: str) -> None:
    assert not loaded_by(f"import {module}") & {"fastapi", "starlette", "torch", "onnxruntime", "onnx"}


def test_the_command_line_loads_what_one_command_needs_with_that_command() -> None:
    heavy = {"fastapi", "httpx", "uvicorn", "sqlalchemy", "torch", "onnx", "onnxruntime"}
    assert not loaded_by("import service.cli") & heavy


def test_the_laboratory_loads_neither_a_compiler_nor_an_exporter() -> None:
    assert not loaded_by("import analysis.pipeline") & {"torch._dynamo", "onnxscript"}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


@pytest.mark.parametrize("shelf", SHELVES)
def test_neighbours_on_a_shelf_do_not_know_each_other(shelf: str) -> None:
    modules = {path.stem for path in (ROOT / shelf).glob("[!_]*.py")}
    package = shelf.replace("/", ".")
    for path in sorted((ROOT / shelf).glob("[!_]*.py")):
        if str(path.relative_to(ROOT)) in MADE_OF_NEIGHBOURS:
            continue
        known = {
            name.removeprefix(package + ".").split(".")[0] for name in imports(path) if name.startswith(package + ".")
        }
        strangers = {name for name in known & modules - {path.stem} if (shelf, name) not in ALLOWED_NEIGHBOURS}
        assert not strangers, f"{path.name} imports {strangers}"


def test_every_source_file_is_on_the_map_and_every_entry_of_the_map_exists() -> None:
    linked = {ROOT / target for target in re.findall(r"\]\(([^)#]+)\)", README) if not target.startswith("http")}
    assert not [path for path in linked if not path.exists()]
    mapped = {path for path in SOURCES if path in linked or any(folder in linked for folder in path.parents)}
    forgotten = [path.relative_to(ROOT) for path in SOURCES if path not in mapped and not path.name.startswith("__")]
    assert not forgotten


@pytest.mark.parametrize("house", HOUSES)
def test_every_source_file_has_its_tests_and_every_test_file_its_source(house: str) -> None:
    sources = {path.relative_to(ROOT) for path in (ROOT / house).rglob("*.py") if path.name[:2] != "__"}
    expected = {"tests" / path.with_name(f"test_{path.name.removeprefix('_')}") for path in sources}
    there = {path.relative_to(ROOT) for path in (ROOT / "tests" / house).rglob("test_*.py")}
    mirrored = {path for path in there if str(path) not in OF_MORE_THAN_ONE_FILE}
    assert {str(path) for path in mirrored} == {str(path) for path in expected}


def test_what_is_said_of_test_files_is_still_true() -> None:
    assert not [path for path in OF_MORE_THAN_ONE_FILE if not (ROOT / path).exists()]


def test_no_test_file_imports_another() -> None:
    for path in (ROOT / "tests").rglob("*.py"):
        assert not [name for name in imports(path) if re.search(r"^tests\..*\btest_", name)], path


def test_the_table_of_operators_is_fresh() -> None:
    page = subprocess.run(
        [sys.executable, "-m", "analysis.convert.ops"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (ROOT / "analysis/convert/ops/OPERATORS.md").read_text() == page.stdout


def test_every_file_has_a_docstring_and_none_is_a_drawer() -> None:
    for path in SOURCES:
        assert ast.get_docstring(ast.parse(path.read_text())), path
        assert path.stem not in {"utils", "helpers", "common", "misc"}, path


def test_files_that_are_no_python_are_shipped() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    shipped = {path for name, globs in declared.items() for glob in globs for path in package(name).glob(glob)}
    files = [path for house in HOUSES for path in (ROOT / house).rglob("*")]
    needed = {path for path in files if path.suffix in {".html", ".css", ".js", ".svg"}}
    assert needed
    assert needed <= shipped


def package(name: str) -> Path:
    return ROOT / name.replace(".", "/")


def test_rule_ids_are_in_order_and_unique() -> None:
    ids = [rule.id for rule in RULES]
    assert ids == sorted(set(ids))
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_the_picture_of_a_report_in_the_readme_is_what_the_demo_prints() -> None:
    shown = re.search(r"<!-- demo -->\n```text\n(.*?)```", README, re.DOTALL)
    assert shown is not None
    demo = ROOT / "deploy" / "demo"
    printed = render_text(analyze(demo / "deep_sigmoid.onnx", demo / "batch.npz"))
    numbers = re.compile(r"-?\d+\.\d+(e[+-]\d+)?")
    assert numbers.sub("#", printed) == numbers.sub("#", shown[1])


def test_the_drawn_picture_in_the_readme_is_light_enough_for_a_front_page() -> None:
    (picture,) = re.findall(r"!\[.+\]\((\S+\.png)\)", README)
    assert (ROOT / picture).stat().st_size < 150_000


def test_the_python_snippets_of_the_readme_run() -> None:
    module, _of_a_service, file = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert printed_by(module).startswith("unhealthy: ")
    assert printed_by(file).split() == ["unhealthy", "relu+batch_norm+he"]


def printed_by(snippet: str) -> str:
    done = subprocess.run([sys.executable, "-c", snippet], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return done.stdout


def test_tests_of_one_group_run_in_one_process(tmp_path: Path) -> None:
    """What `make acceptance` relies on: two processes would take each other's messages from a broker."""
    (tmp_path / "test_group.py").write_text(
        "import pytest\n"
        "@pytest.mark.xdist_group('one')\n"
        "@pytest.mark.parametrize('number', range(6))\n"
        "def test_a_number(number): pass\n"
    )
    pytest_ = [sys.executable, "-m", "pytest", "-p", "xdist", "--numprocesses", "2", "--dist", "loadgroup", "-v"]
    done = subprocess.run([*pytest_, tmp_path], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert len(set(re.findall(r"\[(gw\d)\] .+ PASSED", done.stdout))) == 1


def test_every_folder_with_sources_is_in_the_wheel() -> None:
    """Those are found that match, and that hold an __init__.py like all folders above them."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    assert declared == {"include": [f"{house}*" for house in HOUSES]}
    assert not [path for path in SOURCES if not (path.parent / "__init__.py").exists()]


def test_the_configuration_of_the_readme_is_understood(tmp_path: Path) -> None:
    (snippet,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "gradient-health.toml").write_text(snippet)
    found = find_configuration(tmp_path)
    assert found is not None
    _, table = found
    assert Gate.parse(table.pop("fail_on")).severity is Severity.WARNING
    chosen = policy(parse_options(table))
    assert "GH303" not in {rule.id for rule in chosen.rules}
    assert chosen.thresholds["GH101"] == {"flow_decades": -3.5}


def test_the_bundled_model_is_what_its_script_makes() -> None:
    make_model = runpy.run_path(str(ROOT / "deploy" / "demo" / "make_model.py"))
    model = check_model(make_model["MODEL"])
    weights = {name: value.detach().numpy() for name, value in make_model["network"]().named_parameters()}
    assert set(weights) == set(model.weights)
    for name, value in weights.items():
        np.testing.assert_allclose(model.weights[name], value, rtol=1e-5, atol=1e-7)
    arrays = np.load(make_model["BATCH"])
    for name, value in make_model["batch"]().items():
        np.testing.assert_allclose(arrays[name], value, rtol=1e-6)
    assert make_model["MODEL"].stat().st_size + make_model["BATCH"].stat().st_size < 200_000


def test_pins_are_exact_and_inside_the_ranges() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    assert all(pins.values())
    assert pins["torch"] == "2.13.0"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = {"gradient-health[auth,celery,otel,postgres,s3]", "gradient-health[dev]"}
    assert own <= {*extras["dev"], *extras["mutants"]}
    installed = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    for requirement in map(Requirement, set(installed) - own):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement


def test_compose_and_dockerfile_agree_with_the_settings() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    service = compose["services"]["gradient-health"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    dockerfile = (ROOT / service["build"]["dockerfile"]).read_text()
    names = set(re.findall(r"GRADIENT_HEALTH_(\w+)=", dockerfile))
    assert names <= {name.upper() for name in Settings.model_fields}
    image = {name.lower(): value for name, value in re.findall(r"GRADIENT_HEALTH_(\w+)=(\S+)", dockerfile)}
    assert not Settings(**image).is_exposed
    assert not Settings(**image).allow_unprotected
    composed = {name.removeprefix("GRADIENT_HEALTH_").lower(): value for name, value in service["environment"].items()}
    settings = Settings(**(image | composed))
    assert not settings.is_exposed, "or the container would not start"
    assert settings.needs_keys or all(port.startswith("127.0.0.1:") for port in service["ports"])
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert user is not None, "by number, so that a cluster can see that it is not root"
    assert f"--uid {user[1]} --gid {user[2]}" in dockerfile


def test_the_nodes_of_the_compose_file_have_settings_that_start_and_servers_that_are_there() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    nodes = {name: each for name, each in services.items() if each.get("profiles") == ["nodes"]}
    assert set(nodes) == {"api", "worker", "postgres", "rabbitmq", "minio", "bucket"}
    for name in ("api", "worker"):
        settings = Settings(**settings_of(nodes[name]["environment"]))
        assert settings.runner == "celery"
        for url in (settings.database, settings.broker_url, settings.s3_endpoint):
            assert urlsplit(re.sub(r"\$\{\w+:-([^}]+)\}", r"\1", url)).hostname in nodes
        assert nodes[name]["read_only"]
        assert nodes[name]["cap_drop"] == ["ALL"]
    assert nodes["worker"]["command"] == ["gradient-health", "worker"]
    assert all(port.startswith("127.0.0.1:") for each in nodes.values() for port in each.get("ports", []))
    assert all(":" in each["image"] for each in nodes.values() if "image" in each)


def settings_of(environment: dict[str, str]) -> dict[str, str]:
    """By their names in the program, which has all of them."""
    named = {name.removeprefix("GRADIENT_HEALTH_").lower(): value for name, value in environment.items()}
    assert set(named) <= set(Settings.model_fields)
    return named


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Of deploy/kubernetes, by kind and name."""
    documents = [
        each for path in (ROOT / "deploy/kubernetes").glob("*.yaml") for each in yaml.safe_load_all(path.read_text())
    ]
    named = {(each["kind"], each["metadata"]["name"]): each for each in documents}
    assert len(named) == len(documents)
    return named


def test_the_manifests_have_settings_that_start() -> None:
    found = manifests()
    environment = found["ConfigMap", "gradient-health"]["data"] | found["Secret", "gradient-health"]["stringData"]
    settings = Settings(**settings_of(environment), host="0.0.0.0")
    assert not settings.is_exposed
    assert (settings.runner, settings.is_bucket) == ("celery", True)
    (trigger,) = found["ScaledObject", "gradient-health-worker"]["spec"]["triggers"]
    assert trigger["metadata"]["queueName"] in QUEUES[settings.computes]
    (reference,) = found["TriggerAuthentication", "gradient-health"]["spec"]["secretTargetRef"]
    assert reference["key"] in found["Secret", reference["name"]]["stringData"]


@pytest.mark.parametrize("part", ["api", "worker"])
def test_the_pods_of_the_manifests_are_confined_and_reach_their_servers_alone(part: str) -> None:
    found = manifests()
    template = found["Deployment", f"gradient-health-{part}"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert template["spec"]["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["image"] == f"gradient-health:{VERSION}"
    assert {volume["mountPath"] for volume in container["volumeMounts"]} == {"/data", "/tmp"}
    assert container["livenessProbe"]
    policy = found["NetworkPolicy", f"gradient-health-{part}"]["spec"]
    assert policy["podSelector"]["matchLabels"] == template["metadata"]["labels"]
    reached = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    secret = found["Secret", "gradient-health"]["stringData"]
    urls = [secret[f"GRADIENT_HEALTH_{name}"] for name in ("DATABASE_URL", "BROKER_URL", "S3_ENDPOINT")]
    assert reached == {53, *((urlsplit(url).port or 5432) for url in urls)}
    if part == "api":
        assert container["ports"] == [{"name": "http", "containerPort": 8000}]
        assert policy["ingress"] == [{"ports": [{"port": 8000}]}]
    else:
        assert container["args"] == ["gradient-health", "worker"]
        assert "ingress" not in policy


def test_the_build_context_is_what_the_dockerfile_copies_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert {line[1:] for line in lines if line.startswith("!")} == {name for each in copied for name in each.split()}


def test_packages_are_pinned_in_the_image() -> None:
    """What hadolint asks for (DL3008), without hadolint, which is in no package registry."""
    for names in re.findall(r"apt-get install ([^&]+)", (ROOT / "deploy/Dockerfile").read_text()):
        assert all("=" in each for each in names.split() if not each.startswith("-") and each != "\\"), names


NEVER_IMPORTED = {
    "httptools", "uvloop",  # uvicorn takes them where they are
    "psycopg",  # sqlalchemy does, by the URL
}  # fmt: skip


def test_what_is_declared_is_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tools = {"dev", "docs", "mutants"}
    extras = {name: each for name, each in project["optional-dependencies"].items() if name not in tools}
    wanted = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    declared = {canonicalize_name(Requirement(each).name) for each in wanted}
    modules = {
        name.split(".")[0]
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    } - set(sys.stdlib_module_names) - {*HOUSES, ""}  # fmt: skip
    owners = packages_distributions()
    named = [[canonicalize_name(owner) for owner in owners[module]] for module in modules]
    imported = {owner for own in named for owner in (declared.intersection(own) or own[:1])}  # a name may be shared
    assert imported - declared == {"pydantic-core"}, "imported and not declared; that one is a part of pydantic"
    assert declared - imported == NEVER_IMPORTED
