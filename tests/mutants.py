"""Small faults put into the sources one at a time, and whether the mirrored tests notice: `make mutants`.

mutmut makes the faults and forks a process for each after the tests have been imported. This file tells it, package by
package, what to break and which tests to ask, and compares what survives with docs/mutants.md, which gives the reasons.

mutmut breaks the bodies of functions and methods, and leaves whatever carries a decorator alone, which here would be
every rule and property. It gets a copy in which `@rule(...) def f` is written `def f` and `f = rule(...)(f)`: the
same program. Caches are left out of the copy, because what they hold would outlive the fault.
"""

import argparse
import ast
import fnmatch
import gc
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from mutmut.configuration import reset_config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

ROOT: Final = Path(__file__).parents[1]
WORK: Final = ROOT / "build" / "mutants"
PAGE: Final = ROOT / "docs" / "mutants.md"
TABLE: Final = re.compile(r"(?<=<!-- shares -->\n).*?(?=<!-- /shares -->)", re.DOTALL)

DIAGNOSIS: Final = "tests/analysis/diagnosis"
TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "service/jobs": ("tests/service/jobs",),
    "service/intake": ("tests/service/intake",),
    "analysis/graph/fans.py": ("tests/analysis/graph/test_fans.py",),
    "analysis/interventions/draws.py": ("tests/analysis/interventions/test_draws.py",),
    "analysis/facts": ("tests/analysis/facts", DIAGNOSIS),
    "analysis/report": ("tests/analysis/report", DIAGNOSIS),
    "analysis/diagnosis": (DIAGNOSIS,),
    "analysis/diagnosis/rules": ("tests/analysis/diagnosis/rules",),
    "analysis/comparison": ("tests/analysis/comparison",),
    "analysis/render": ("tests/analysis/render",),
}
"""What is broken, and the tests that are asked; of nested packages a file belongs to the innermost."""
SLOW: Final = (
    "tests/service/jobs/test_store.py::test_a_job_keeps_its_promises_in_any_order_of_events",
    "tests/service/jobs/test_store.py::test_two_claimers_never_get_the_same_job",
    "tests/service/jobs/test_store.py::test_writers_wait_for_each_other",
    "tests/service/intake/test_multipart.py::test_a_body_may_be_cut_in_two_at_every_byte",
    "tests/service/intake/test_multipart.py::test_a_body_cut_short_anywhere_is_refused_and_leaves_nothing",
    "tests/analysis/report/test_document.py::test_non_finite_numbers_are_strings_and_valid_json",
    "tests/analysis/comparison/test_changes.py::test_many_findings_of_one_rule_are_paired_once_each",
    "tests/analysis/comparison/test_compare.py::test_a_baseline_never_makes_a_gate_stricter",
    "tests/analysis/comparison/test_compare.py::test_another_seed_of_the_same_sick_network_is_no_regression",
    "tests/analysis/comparison/test_compare.py::test_real_reports_compare_like_their_published_form",
    "tests/analysis/comparison/test_document.py::test_a_comparison_is_valid_under_its_own_schema",
    "tests/analysis/comparison/test_match.py::test_reports_made_to_be_slow_are_matched_all_the_same",
    "tests/analysis/render/test_comparison.py::test_a_comparison_fits_a_terminal",
    "tests/analysis/render/test_html.py::test_a_thousand_layers_and_two_dozen_variants_are_a_page_within_reason",
    "tests/analysis/render/test_text.py::test_a_summary_fits_a_terminal",
    "tests/analysis/render/test_text.py::test_a_summary_says_verdict_cause_layers_and_remedy",
)
"""Seconds each, for every fault that they meet: not asked."""
NOTICED: Final = frozenset({"killed", "timeout", "segfault", "suspicious"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a package's mutants."""

    package: str
    whole: bool
    """Whether all of its files were asked for."""
    counts: Mapping[str, int]
    """By mutmut's word for it."""
    survivors: tuple[str, ...]

    @property
    def row(self) -> str:
        """A line of the table."""
        total = sum(self.counts.values())
        noticed = sum(count for status, count in self.counts.items() if status in NOTICED)
        return f"| `{self.package}` | {total} | {noticed} | {noticed / max(total, 1):.1%} |"


def files_of(package: str) -> list[str]:
    """Source files whose innermost package this is."""
    place = ROOT / package
    found = [place] if place.is_file() else sorted(place.rglob("*.py"))
    names = [path.relative_to(ROOT).as_posix() for path in found]
    inner = tuple(f"{other}/" for other in TESTS if other.startswith(f"{package}/"))
    return [name for name in names if not name.startswith(inner)]


def undecorated(source: str) -> str:
    """The same program with decorators of functions applied behind them, and without caches."""
    lines = source.splitlines()
    tree = ast.parse(source)
    scopes = [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    functions = [
        node for scope in scopes for node in scope.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for function in sorted(functions, key=lambda node: node.lineno, reverse=True):
        decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
        if not decorators or decorators in (["staticmethod"], ["classmethod"]):  # mutmut knows these
            continue
        applied = function.name
        for decorator in reversed(decorators):
            applied = applied if decorator == "cache" else f"{decorator}({applied})"
        if applied != function.name:
            lines.insert(function.end_lineno or 0, f"{' ' * function.col_offset}{function.name} = {applied}")
        del lines[function.decorator_list[0].lineno - 1 : function.lineno - 1]
    return "\n".join([*lines, ""])


def prepare(work: Path, files: Sequence[str], tests: Sequence[str]) -> None:
    """A copy of the project, and what mutmut is to do there."""
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("analysis", "service", "tests", "deploy"):
        shutil.copytree(ROOT / folder, work / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", work)
    for name in files:
        (work / name).write_text(undecorated((ROOT / name).read_text()))
    settings = {
        "source_paths": ("analysis", "service"),
        "only_mutate": files,
        "also_copy": ("deploy",),
        "pytest_add_cli_args": (
            "-p",
            "no:cacheprovider",
            "-p",
            "tests.mutants",
            "-k=not analysed",  # the same pages of a report that takes seconds to make
            *(f"--deselect={test}" for test in SLOW),
        ),
        "pytest_add_cli_args_test_selection": tests,
        "process_isolation": "forkserver",  # torch is imported there once, and nothing has run when it forks
        "timeout_multiplier": "5",
        "timeout_constant": "3",
        "use_git_change_detection": "false",
    }
    (work / "setup.cfg").write_text(
        "[mutmut]\n"
        + "".join(
            f"{name} = {value}\n" if isinstance(value, str) else f"{name} =\n    " + "\n    ".join(value) + "\n"
            for name, value in settings.items()
        )
    )


def changed(work: Path, file: str, mutant: str) -> str:
    """One line that says where a mutant lies and what it changed; the same for as long as the code is."""
    os.chdir(work)
    reset_config()
    before, after = [], []
    for line in get_diff_for_mutant(mutant, path=file).splitlines()[2:]:
        if line[:1] in {"-", "+"}:
            (before if line[0] == "-" else after).append(line[1:].strip())
    name, class_name = orig_function_and_class_names_from_key(mutant)
    where = f"{class_name}.{name}" if class_name else name
    return f"- `{file}` {where}: `{' '.join(before)}` → `{' '.join(after)}`"


def break_package(package: str, files: Sequence[str], processes: int, *, whole: bool) -> Outcome:
    """Run mutmut over these files of a package."""
    work = WORK / package.replace("/", "-")
    prepare(work, files, TESTS[package])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    mutmut = Path(sys.executable).with_name("mutmut")
    with (work / "mutmut.log").open("w") as log:
        done = subprocess.run(
            [mutmut, "run", "--max-children", str(processes)],
            cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        sys.exit(f"{package}: mutmut failed, see {log.name}")
    counts: Counter[str] = Counter()
    survivors = []
    for file in files:
        meta = work / "mutants" / f"{file}.meta"
        codes = json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else {}
        for mutant, code in codes.items():
            status = status_by_exit_code[code]
            counts[status] += 1
            if status not in NOTICED:
                survivors.append(changed(work, file, mutant))
    return Outcome(package, whole, counts, tuple(survivors))


def chosen(patterns: Sequence[str]) -> Iterator[tuple[str, list[str], bool]]:
    """Packages, the files asked for, and whether these are all."""
    for package in TESTS:
        files = files_of(package)
        wanted = [
            name
            for name in files
            if not patterns or any(fnmatch.fnmatch(name, each) or name.startswith(f"{each}/") for each in patterns)
        ]
        if wanted:
            yield package, wanted, wanted == files


def write_shares(outcomes: Sequence[Outcome]) -> None:
    """Put the rows of these packages into the page."""
    page = PAGE.read_text()
    table = TABLE.search(page)
    assert table is not None
    rows = {row.split("`")[1]: row for row in table[0].splitlines() if row.startswith("| `")}
    rows |= {outcome.package: outcome.row for outcome in outcomes}
    head = "| what is broken | mutants | noticed | share |\n| --- | ---: | ---: | ---: |\n"
    body = "".join(f"{rows[package]}\n" for package in TESTS if package in rows)
    PAGE.write_text(TABLE.sub(lambda _: head + body, page))


def main() -> None:
    """Break, count, compare with the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("only", nargs="*", help="folders, files or patterns of files; all where left out")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    patterns = [pattern.rstrip("/") for pattern in options.only]
    outcomes = []
    for package, files, whole in chosen(patterns):
        outcome = break_package(package, files, options.processes, whole=whole)
        outcomes.append(outcome)
        print(outcome.row, dict(outcome.counts), flush=True)  # noqa: T201
        (WORK / f"{package.replace('/', '-')}.txt").write_text("".join(f"{line}\n" for line in outcome.survivors))
    os.chdir(ROOT)
    write_shares([outcome for outcome in outcomes if outcome.whole])
    explained = {line for line in PAGE.read_text().splitlines() if line.startswith("- `")}
    survivors = {line for outcome in outcomes for line in outcome.survivors}
    asked = {f"- `{file}`" for _, files, _ in chosen(patterns) for file in files}
    for title, lines in (
        ("survivors that docs/mutants.md gives no reason for", survivors - explained),
        ("no survivors any more, to be taken out of docs/mutants.md",
         {line for line in explained - survivors if line.startswith(tuple(asked))}),
    ):  # fmt: skip
        print(f"\n{len(lines)} {title}", *sorted(lines), sep="\n")  # noqa: T201


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The same order for every mutant: mutmut hands over a set."""
    items.sort(key=lambda item: (item.location[0], item.location[1] or 0, item.nodeid))


def pytest_collection_finish() -> None:
    """Freeze what was imported: pytest collects garbage ten times a run, and would walk all of torch each time."""
    gc.freeze()


if __name__ == "__main__":
    main()
