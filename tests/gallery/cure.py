"""Whether the remedies work on the sick half of the gallery: see `tests.benchmarks.cures`.

python -m tests.gallery.cure [--half first_half|held_out ...] [--seeds N] [--limit N] [--others N]
    [--out cures.jsonl]

Trained as the exhibits are labelled: `tests.gallery.label`.
"""

import argparse
import importlib
import sys
from functools import partial
from pathlib import Path

import torch

from analysis.model import check_model
from analysis.options import AnalysisOptions, Effort
from analysis.subject.preparation import prepare
from tests.benchmarks.cures import Patient, add_arguments, cure_all
from tests.gallery.exhibit import Exhibit, labels
from tests.gallery.label import ADAM, SGD, train

HALVES = ("first_half", "held_out")


def patient(exhibit: Exhibit, seed: int, *, fails_both: bool) -> Patient:
    """An exhibit that does not train."""
    batch = exhibit.batch(seed)

    def best(path: Path, max_norm: float | None, decay: float) -> dict[str, float]:
        subject = prepare(check_model(path), batch, AnalysisOptions())
        grid = {"sgd": SGD, "adam": ADAM}
        return {
            optimizer: min(train(exhibit, subject, seed, optimizer, rate, max_norm, decay) for rate in rates)
            for optimizer, rates in grid.items()
        }

    return Patient(
        name=f"{exhibit.name}/{seed}",
        family=exhibit.family,
        fails_both=fails_both,
        model=exhibit.model(seed),
        batch=batch,
        options=exhibit.request(seed, Effort.STANDARD),
        train=best,
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=HALVES, nargs="*", default=HALVES)
    parser.add_argument("--seeds", type=int, help="only the first so many of each half")
    add_arguments(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known, failing = labels(), []
    for half in arguments.half:
        module = importlib.import_module(f"tests.gallery.{half}")
        for exhibit in module.EXHIBITS:
            for seed in module.SEEDS[: arguments.seeds]:
                said = known[exhibit.name][str(seed)]["label"]
                if not exhibit.healthy and said != "trains":
                    make = partial(patient, exhibit, seed, fails_both=said == "fails")
                    failing.append((f"{exhibit.name}/{seed}", make))
    sys.stdout.write(cure_all(failing[: arguments.limit], arguments.others, arguments.out) + "\n")


if __name__ == "__main__":
    main()
