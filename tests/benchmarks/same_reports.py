"""Whether a change of the code changes what reports say: every exhibit of the gallery, every public model at hand.

    python -m tests.benchmarks.same_reports write FOLDER [--effort quick] [--effort standard] [--part 0/2]
    python -m tests.benchmarks.same_reports compare BEFORE AFTER

`write` analyses everything with seed 0 on one thread and writes a report for each, or the problem that it ends with.
Times are left out, nothing else; the budget is large enough never to cut. Only what is missing in FOLDER is analysed.
`compare` counts what is equal byte for byte, and names every report that is not, with the first field that differs.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import torch

from analysis.errors import AnalysisError
from analysis.options import AnalysisOptions, Effort
from analysis.pipeline import analyze
from analysis.report import Report
from tests.beside import SHARED
from tests.gallery import first_half, held_out

MODELS: Final = SHARED / "models"
LONGEST_SECONDS: Final = 86_400.0
Question = Callable[[Effort], Report]


def questions(models: Path) -> Iterator[tuple[str, Question]]:
    """(name, what to ask) of every exhibit, then of every model with its batch."""
    for half in (first_half, held_out):
        for exhibit in half.EXHIBITS:
            yield (
                f"exhibit {exhibit.name}",
                lambda effort, exhibit=exhibit: analyze(
                    exhibit.model(0), exhibit.batch(0), uncut(effort, **exhibit.options)
                ),
            )
    index = models / "models.json"
    for entry in json.loads(index.read_text())["models"] if index.exists() else []:
        model, batch = models / entry["path"], models / entry["batch"]
        yield f"model {entry['id']}", lambda effort, model=model, batch=batch: analyze(model, batch, uncut(effort))


def uncut(effort: Effort, **options: Any) -> AnalysisOptions:
    return AnalysisOptions(effort=effort, budget_seconds=LONGEST_SECONDS, **options)


def answer(question: Question, effort: Effort) -> str:
    """The report without its times, or what was refused."""
    torch.set_num_threads(1)
    try:
        content = json.loads(question(effort).to_json())
    except AnalysisError as error:
        content = {"error": type(error).__name__, "message": str(error), "where": error.where, "hint": error.hint}
    except Exception as bug:  # noqa: BLE001 - one network that ends in a bug must not hide the others
        content = {"bug": type(bug).__name__, "message": str(bug)}
    content.pop("timings_seconds", None)
    return json.dumps(content, indent=1) + "\n"


def write(folder: Path, efforts: list[Effort], models: Path, part: int, parts: int) -> None:
    for effort in efforts:
        (folder / effort.value).mkdir(parents=True, exist_ok=True)
        for place, (name, question) in enumerate(questions(models)):
            path = folder / effort.value / f"{name.replace('/', '_')}.json"
            if place % parts == part and not path.exists():
                path.write_text(answer(question, effort))


def compare(before: Path, after: Path) -> int:
    """Print counts by effort, and what differs; the number of reports that differ or are missing."""
    wrong = 0
    for effort in sorted(path.name for path in before.iterdir()):
        counts: Counter[str] = Counter()
        for path in sorted((before / effort).glob("*.json")):
            other = after / effort / path.name
            old, new = json.loads(path.read_text()), json.loads(other.read_text()) if other.exists() else None
            said = "missing" if new is None else "equal" if old == new else "differs"
            counts[said] += 1
            if said == "differs":
                print(f"{effort} {path.stem}: {first_difference(old, new)}")  # noqa: T201
        wrong += counts["missing"] + counts["differs"]
        print(f"{effort}: {', '.join(f'{number} {said}' for said, number in sorted(counts.items()))}")  # noqa: T201
    return wrong


def first_difference(old: Any, new: Any, path: str = "") -> str:
    """The first field that differs, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            if old.get(key) != new.get(key):
                return first_difference(old.get(key), new.get(key), f"{path}.{key}")
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for place, (mine, other) in enumerate(zip(old, new, strict=True)):
            if mine != other:
                return first_difference(mine, other, f"{path}[{place}]")
    return f"{path[1:]} {str(old)[:80]!r} -> {str(new)[:80]!r}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["write", "compare"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--effort", action="append", type=Effort)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--part", default="0/1")
    chosen = parser.parse_args()
    if chosen.what == "compare":
        return min(compare(*chosen.folders), 1)
    part, _, parts = chosen.part.partition("/")
    (folder,) = chosen.folders
    write(folder, chosen.effort or [Effort.QUICK, Effort.STANDARD], chosen.models, int(part), int(parts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
