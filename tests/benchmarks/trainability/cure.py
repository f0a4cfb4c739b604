"""Whether the remedies work on the corpus: see `tests.benchmarks.cures`.

python -m tests.benchmarks.trainability.cure --labels labels.jsonl [--family F ...] [--samples N]
    [--limit N] [--others N] [--out cures.jsonl]
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from torch import nn

from analysis.convert import convert
from analysis.model import check_model
from analysis.options import AnalysisOptions
from tests.benchmarks.cures import Patient, add_arguments, cure_all
from tests.benchmarks.trainability.configurations import Configuration, Family
from tests.benchmarks.trainability.export import to_npz, to_onnx
from tests.benchmarks.trainability.label import Labelled, read_labels
from tests.benchmarks.trainability.networks import build
from tests.benchmarks.trainability.prediction import BUDGET_SECONDS, SAMPLES, UPLOAD_SEED
from tests.benchmarks.trainability.tasks import make_task
from tests.benchmarks.trainability.training import best_losses


class Reloaded(nn.Module):
    """An exported model as a module with one output."""

    def __init__(self, path: Path) -> None:
        """Read and converted."""
        super().__init__()
        self.program = convert(check_model(path))

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """The first output."""
        (output, *_) = self.program(*inputs)
        assert isinstance(output, torch.Tensor)
        return output


def patient(labelled: Labelled, samples: int = SAMPLES) -> Patient:
    """A network of the corpus, uploaded with so many samples, trained as it was labelled."""
    configuration = labelled.configuration
    task = make_task(configuration)
    example, _ = task.sample(2, torch.Generator().manual_seed(0))
    return Patient(
        name=configuration.name,
        family=configuration.family.value,
        fails_both=labelled.label.fails_both,
        model=to_onnx(build(configuration), example),
        batch=to_npz(task, samples, UPLOAD_SEED + configuration.seed),
        options=AnalysisOptions(budget_seconds=BUDGET_SECONDS),
        train=partial(_train, configuration),
    )


def _train(configuration: Configuration, path: Path, max_norm: float | None, decay: float) -> dict[str, float]:
    return best_losses(Reloaded(path).train(), configuration, max_norm, decay)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="what label.py wrote")
    parser.add_argument("--family", type=Family, nargs="*", default=list(Family), help="only these")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="uploaded with each network")
    add_arguments(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failing = [
        (each.configuration.name, partial(patient, each, arguments.samples))
        for each in read_labels(arguments.labels)
        if each.label.fails_sgd and each.configuration.family in arguments.family
    ]
    sys.stdout.write(cure_all(failing[: arguments.limit], arguments.others, arguments.out) + "\n")


if __name__ == "__main__":
    main()
