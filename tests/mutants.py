"""Small faults put into the sources one at a time, and whether the mirrored tests notice: `make mutants`.

mutmut makes the faults: every function is written once per fault, and a variable of the environment says which is
called. This file puts them into a copy of the project, package by package, lets pytest import and collect there once,
and forks for each fault, so that nothing that a fault does or caches outlives it. Asked are the tests that reach the
broken function, those of the mirrored file first. What survives is compared with docs/mutants.md, which gives the
reasons.

mutmut breaks the bodies of functions and methods, and leaves whatever carries a decorator alone, which here would be
every rule and property. It gets a copy in which `@rule(...) def f` is written `def f` and `f = rule(...)(f)`: the
same program. Caches are left out of the copy, because a template would keep what an earlier fault made of it.
"""

import argparse
import ast
import contextlib
import fnmatch
import functools
import gc
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2
import pytest
from mutmut.mutation import trampoline
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.utils.format_utils import get_mutant_name, orig_function_and_class_names_from_key

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
NAMES: Final = Path("mutants.json")
"""In the copy: the faults to be tried."""
ANSWERS: Final = "answers-*.jsonl"
"""In the copy: faults and the tests that noticed them, one a line; null where a process died or never ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a package's mutants."""

    package: str
    whole: bool
    """Whether all of its files were asked for."""
    counts: Mapping[str, int]
    """Noticed and survived."""
    survivors: tuple[str, ...]

    @property
    def row(self) -> str:
        """A line of the table."""
        total = sum(self.counts.values())
        noticed = self.counts["noticed"]
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


def prepare(work: Path, files: Sequence[str], most: int) -> dict[str, tuple[str, str]]:
    """A copy of the project with all faults in it, and a draw of these: file and its broken text by name of a fault."""
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("analysis", "service", "tests", "deploy"):
        shutil.copytree(ROOT / folder, work / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", work)
    mutants = {}
    for file in files:
        broken = mutate_file_contents(file, undecorated((ROOT / file).read_text()))
        (work / file).write_text(broken.code)
        mutants |= {get_mutant_name(Path(file), name): (file, broken.code) for name in broken.mutant_names}
    names = random.Random(0).sample(list(mutants), most) if most < len(mutants) else list(mutants)
    (work / NAMES).write_text(json.dumps(names))
    return {name: mutants[name] for name in names}


def changed(file: str, broken: str, mutant: str) -> str:
    """One line that says where a mutant lies and what it changed; the same for as long as the code is."""
    before, after = [], []
    for line in get_diff_for_mutant(mutant, broken, file).splitlines()[2:]:
        if line[:1] in {"-", "+"}:
            (before if line[0] == "-" else after).append(line[1:].strip())
    name, class_name = orig_function_and_class_names_from_key(mutant)
    where = f"{class_name}.{name}" if class_name else name
    return f"- `{file}` {where}: `{' '.join(before)}` → `{' '.join(after)}`"


def break_package(package: str, files: Sequence[str], processes: int, most: int, *, whole: bool) -> Outcome:
    """Try all faults of these files of a package."""
    work = WORK / package.replace("/", "-")
    mutants = prepare(work, files, most)
    command = [
        sys.executable, "-m", "pytest", "-q", "--assert=plain", "--capture=no",
        "-p", "no:cacheprovider", "-p", "tests.mutants", f"--mutants={processes}",
        "-k", "not analysed",  # the same pages of a report that takes seconds to make
        *(f"--deselect={test}" for test in SLOW),
        *TESTS[package],
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(work)}
    with (work / "pytest.log").open("w") as log:
        subprocess.run(command, cwd=work, env=environment, stdout=log, stderr=subprocess.STDOUT, check=False)
    lines = [line for path in work.glob(ANSWERS) for line in path.read_text().splitlines()]
    answers = dict(json.loads(line) for line in lines)
    if answers.keys() != mutants.keys():
        sys.exit(f"{package}: only {len(answers)} of {len(mutants)} were tried, see {log.name}")
    survivors = [changed(*mutants[mutant], mutant) for mutant in mutants if answers[mutant] == ""]
    counts = {"noticed": len(mutants) - len(survivors), "survived": len(survivors)}
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
    parser.add_argument("--most", type=int, default=sys.maxsize, help="of a package's faults, drawn at random")
    options = parser.parse_args()
    patterns = [pattern.rstrip("/") for pattern in options.only]
    outcomes = []
    for package, files, whole in chosen(patterns):
        outcome = break_package(package, files, options.processes, options.most, whole=whole)
        outcomes.append(outcome)
        print(outcome.row, dict(outcome.counts), flush=True)  # noqa: T201
        (WORK / f"{package.replace('/', '-')}.txt").write_text("".join(f"{line}\n" for line in outcome.survivors))
    os.chdir(ROOT)
    write_shares([outcome for outcome in outcomes if outcome.whole and options.most == sys.maxsize])
    explained = {line for line in PAGE.read_text().splitlines() if line.startswith("- `")}
    survivors = {line for outcome in outcomes for line in outcome.survivors}
    asked = {f"- `{file}`" for _, files, _ in chosen(patterns) for file in files}
    for title, lines in (
        ("survivors that docs/mutants.md gives no reason for", survivors - explained),
        ("no survivors any more, to be taken out of docs/mutants.md",
         {line for line in explained - survivors if line.startswith(tuple(asked))}),
    ):  # fmt: skip
        print(f"\n{len(lines)} {title}", *sorted(lines), sep="\n")  # noqa: T201


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutants", type=int, help="processes that try the faults")


def pytest_runtestloop(session: pytest.Session) -> bool:
    """In the copy, instead of running the tests: try all faults."""
    gc.freeze()  # forks would walk and thereby copy all of torch
    cached = functools.partialmethod(jinja2.Environment.__init__, bytecode_cache=jinja2.FileSystemBytecodeCache("."))
    jinja2.Environment.__init__ = cached  # type: ignore[method-assign, assignment]
    tests = tests_by_function(session.items)
    mutants = json.loads(NAMES.read_text())
    processes = session.config.getoption("--mutants")
    for number in range(processes):
        if not os.fork():
            try:
                try_all(mutants[number::processes], tests, number)
            finally:
                os._exit(0)
    for _ in range(processes):
        os.wait()
    return True


Tests = dict[str, list[tuple[float, pytest.Item]]]
"""By name of a function the tests that reach it and their seconds, in the order in which they are asked."""


def tests_by_function(items: Sequence[pytest.Item]) -> Tests:
    """Each test is run once, without a fault and on its own."""
    tests: Tests = {}
    for item in items:
        answer = apart(functools.partial(reached, item), Path("reached.json"), 600)
        if answer is None or answer["fails"]:
            raise pytest.UsageError(f"{item.nodeid} fails without a fault")
        for function in answer["functions"]:
            tests.setdefault(function, []).append((answer["seconds"], item))
    for function, found in tests.items():
        mirrored = f"test_{function.split('.')[-2].removeprefix('_')}"
        found.sort(key=lambda each: (each[1].path.stem != mirrored, each[1].path, each[0]))
    return tests


def reached(item: pytest.Item) -> dict[str, Any]:
    """Run a test; whether it fails, what it takes and which functions it reaches."""
    functions = set()
    trampoline.record_trampoline_hit = lambda name, caller=None: functions.add(name)  # noqa: ARG005
    trampoline.set_mutant_under_test("stats")
    start = time.process_time()
    fails = first_failing([item])
    return {"fails": bool(fails), "seconds": time.process_time() - start, "functions": sorted(functions)}


def try_all(mutants: Sequence[str], tests: Tests, number: int) -> None:
    """Write down which test notices each; one that has noticed a fault of a function is asked first about the next."""
    with Path(ANSWERS.replace("*", str(number))).open("w") as answers:
        for mutant in mutants:
            asked = tests.get(mutant.partition("__mutmut_")[0], [])
            seconds = 5 * sum(each for each, _ in asked) + 3
            items = [item for _, item in asked]
            answer = apart(functools.partial(noticed_by, mutant, items), Path(f"answer-{number}.json"), seconds)
            answers.write(f"{json.dumps([mutant, answer])}\n")
            answers.flush()
            if answer:
                asked.sort(key=lambda each: each[1].nodeid != answer)  # stable


def noticed_by(mutant: str, items: Sequence[pytest.Item]) -> str:
    """The first test that fails with a fault."""
    trampoline.set_mutant_under_test(mutant)
    return first_failing(items)


def apart(work: Callable[[], Any], answer: Path, seconds: float) -> Any:
    """What a fork of this process returns, by way of a file; None where it dies or takes longer than this."""
    answer.unlink(missing_ok=True)
    child = os.fork()
    if not child:
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_CPU, (round(seconds), round(seconds) + 1))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20 * round(seconds))  # of a busy machine
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            answer.write_text(json.dumps(work()))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what it has started
    return json.loads(answer.read_text()) if answer.exists() else None


def first_failing(items: Sequence[pytest.Item]) -> str:
    """The first test that fails, by name."""
    for item, following in zip(items, [*items[1:], None], strict=False):
        phases = (
            lambda item=item: item.ihook.pytest_runtest_setup(item=item),
            lambda item=item: item.ihook.pytest_runtest_call(item=item),
            lambda item=item, following=following: item.ihook.pytest_runtest_teardown(item=item, nextitem=following),
        )
        for when, phase in zip(("setup", "call", "teardown"), phases, strict=True):
            call = pytest.CallInfo.from_call(phase, when)
            if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
                return item.nodeid
    return ""


if __name__ == "__main__":
    main()
