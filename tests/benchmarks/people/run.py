"""Scores a draw: python -m tests.benchmarks.people.run DRAW [--only NAME ...] [--again WHAT ...] [--out FOLDER]

DRAW is one of DRAWS. Of each case is asked how it really trains
(truth), what the product says of it (product; quick), and what its first remedy is worth (remedy), as `--ask` chooses.
What is known already in FOLDER is kept, but for what `--again` names.
"""

import argparse
import importlib
import json
import math
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch

from tests.benchmarks.people.draw import Case, Draw, own_loss
from tests.benchmarks.people.product import asked, remedied
from tests.benchmarks.people.truth import ends_by, trains, truth_of

DRAWS: Final = (
    "second_reports",
    "second_papers",
    "third_reports",
    "third_papers",
    "fourth_reports",
    "fifth_reports",
    "fifth_papers",
    "sixth_reports",
    "seventh_reports",
    "eighth_reports",
    "ninth_reports",
)
QUESTIONS: Final[Mapping[str, Callable[[Case], dict[str, Any]]]] = {
    "truth": truth_of,
    "product": lambda case: asked(case, "standard"),
    "quick": lambda case: asked(case, "quick"),
    "remedy": remedied,
}


def cases_of(draw: str) -> dict[str, Case]:
    found: Draw = getattr(importlib.import_module(f"tests.benchmarks.people.{draw}"), draw.upper())
    return found.cases


def answers(case: Case, folder: Path, again: list[str], wanted: list[str]) -> dict[str, Any]:
    """All questions about a case, kept in a file."""
    path = folder / f"{case.name}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for what in wanted:
        if what not in known or what in again:
            try:
                known[what] = QUESTIONS[what](case)
            except Exception:  # noqa: BLE001 - one broken case must not end the others
                known[what] = {"broken": traceback.format_exc()[-1500:]}
            path.write_text(json.dumps(known, indent=1))
    return known


def score(case: Case, known: Mapping[str, Any]) -> dict[str, bool | None]:
    """Right or wrong; None where the question does not arise.

    A network that SGD trains, at any rate, may be called healthy though its owner's rate fails; one that Adam alone
    trains may be called at risk; an error on what really trains is wrong always.
    """
    truth, said = known["truth"], known["product"]
    own, sgd = trains(truth["own"]), ends_by(truth, "sgd")
    verdict, cause = said.get("verdict", "broken"), said.get("cause")
    healthy = verdict == "healthy"
    named = cause in case.rules
    if case.elsewhere:
        right = healthy or named
        told = named if case.rules else right
    elif "refused" in case.rules:
        right = told = verdict == "refused"
    elif own or sgd:
        right, told = healthy or (named and verdict != "broken"), None
    else:
        right, told = verdict in {"unhealthy", "at_risk"}, named
    sick = not (case.elsewhere or own or "refused" in case.rules or case.metric is own_loss)
    ends = known.get("remedy", {}).get("ends")
    return {
        "verdict": right,
        "cause": told,
        "no error on a network that trains": verdict not in {"unhealthy", "broken"}
        if own or sgd or (case.elsewhere and not named)
        else None,
        "remedy": any(map(trains, ends.values())) if sick and ends is not None else None,
    }


def line(case: Case, known: Mapping[str, Any], scored: Mapping[str, bool | None]) -> str:
    truth, said = known["truth"], known["product"]
    if "broken" in truth or "broken" in said:
        return f"{case.name:26s} BROKEN {truth.get('broken', '')[-300:]} {said.get('broken', '')[-300:]}"
    marks = " ".join(f"{what} {'ok' if right else 'NO'}" for what, right in scored.items() if right is not None)
    serious = ",".join(
        f"{each[1]}{'!' if each[0] == 'error' else ''}" for each in said["findings"] if each[0] != "info"
    )
    ends = " ".join(f"{rate} {end}" for rate, end in truth["grid"].items())
    return (
        f"{case.name:26s} own {truth['own']} [{ends}] | {said['verdict']} {said['cause']} ({serious}) "
        f"wanted {'/'.join(sorted(case.rules)) or '-'} {known.get('remedy', '')} "
        f"{said.get('seconds')}s quick {known.get('quick', {}).get('verdict')} | {marks}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draw", choices=DRAWS)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--again", nargs="*", default=[], choices=list(QUESTIONS))
    parser.add_argument("--ask", nargs="*", default=["truth", "product"], choices=list(QUESTIONS))
    parser.add_argument("--out", type=Path, default=Path("build/people"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    counts: dict[str, list[bool]] = {}
    began = time.process_time()
    for name, case in cases_of(chosen.draw).items():
        if chosen.only and name not in chosen.only:
            continue
        known = answers(case, chosen.out, chosen.again, chosen.ask)
        if "truth" not in known or "product" not in known:
            print(name, {what: {**each, "words": ""} for what, each in known.items()}, flush=True)  # noqa: T201
            continue
        if any("broken" in known[what] for what in ("truth", "product")):
            scored: dict[str, bool | None] = {"verdict": False}
        else:
            scored = score(case, known)
        for what, right in scored.items():
            if right is not None:
                counts.setdefault(what, []).append(right)
        print(line(case, known, scored), flush=True)  # noqa: T201 - a program's output
    for what, rights in counts.items():
        print(f"{what}: {sum(rights)} of {len(rights)}")  # noqa: T201 - a program's output
    seconds = time.process_time() - began
    print(f"{math.ceil(seconds)} s of processor time")  # noqa: T201 - a program's output


if __name__ == "__main__":
    main()
