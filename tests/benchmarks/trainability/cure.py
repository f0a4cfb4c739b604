"""Whether the remedies work: each is exported, loaded again, and really trained on fresh minibatches.

    python -m tests.benchmarks.trainability.cure --labels labels.jsonl [--family F ...] [--limit N] [--others N]
        [--out cures.jsonl]

A network counts that fails with SGD and that some variant of the catalogue repairs: where the first remedy does not,
the others and then the measured variants are trained until one does. Repaired: the best rate of SGD ends under half of
chance. The first remedy and the first three are scored; networks that nothing repairs are counted apart. The same
for networks that fail with both optimisers, and a repair by any.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from analysis.convert import convert
from analysis.export import Destination
from analysis.facts import ClipKind
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Report, Variant
from tests.benchmarks.trainability.configurations import Configuration, Family
from tests.benchmarks.trainability.export import to_npz, to_onnx
from tests.benchmarks.trainability.label import Labelled, read_labels
from tests.benchmarks.trainability.networks import build
from tests.benchmarks.trainability.prediction import BUDGET_SECONDS, SAMPLES, UPLOAD_SEED
from tests.benchmarks.trainability.tasks import make_task
from tests.benchmarks.trainability.training import FAILS, best_losses

TOP = 3
SGD, ANY = ("sgd",), ("sgd", "adam")


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


@dataclass(frozen=True)
class Cure:
    """What training made of the treated network."""

    name: str
    family: str
    fails_both: bool
    """Not with SGD alone."""
    verdict: str
    remedies: Sequence[str]
    losses: dict[str, dict[str, float]]
    """Variant to optimiser to the best final loss over chance; those that were trained."""

    def repaired(self, optimizers: Sequence[str]) -> list[bool]:
        """Whether each of the first remedies works, best first; not known of those after the first that does."""
        return [self.loss(name, optimizers) < FAILS for name in self.remedies[:TOP]]

    def repairable(self, optimizers: Sequence[str]) -> bool:
        """Whether anything works."""
        return any(self.loss(name, optimizers) < FAILS for name in self.losses)

    def loss(self, name: str, optimizers: Sequence[str]) -> float:
        """The best of these optimisers; infinite where none was tried."""
        return min((self.losses.get(name, {}).get(optimizer, math.inf) for optimizer in optimizers), default=math.inf)


def cure(labelled: Labelled, others: int | None = None) -> Cure:
    """Analyse, export, train the first remedy, and on until something works, at most so many that are none."""
    configuration = labelled.configuration
    task = make_task(configuration)
    example, _ = task.sample(2, torch.Generator().manual_seed(0))
    options = AnalysisOptions(budget_seconds=BUDGET_SECONDS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        batch = to_npz(task, SAMPLES, UPLOAD_SEED + configuration.seed)
        report = analyze(to_onnx(build(configuration), example), batch, options, models=Destination(folder))
        variants = {each.id: each for each in report.variants if each.model is not None}
        losses: dict[str, dict[str, float]] = {}
        for name in _in_turn(report, others):
            if name in variants:
                losses[name] = _train(folder, variants[name], configuration)
            if name in losses and losses[name]["sgd"] < FAILS:
                break
    remedies = [remedy.variant for remedy in report.remedies]
    family, both = configuration.family.value, labelled.label.fails_both
    return Cure(configuration.name, family, both, report.verdict.value, remedies, losses)


def _train(folder: Path, variant: Variant, configuration: Configuration) -> dict[str, float]:
    """As the remedy says: the exported model, with its gradient step."""
    assert variant.model is not None
    assert variant.gradient_step is not None
    module = Reloaded(folder / f"{variant.model.href.split('/')[1]}.onnx").train()
    clip, decay = variant.gradient_step.clip, variant.gradient_step.weight_decay
    max_norm = clip.max_norm if clip is not None and clip.kind is ClipKind.GLOBAL_NORM else None
    return best_losses(module, configuration, max_norm, decay)


def _in_turn(report: Report, others: int | None) -> Iterator[str]:
    yield from (remedy.variant for remedy in report.remedies)
    remedies = {"baseline", *(remedy.variant for remedy in report.remedies)}
    measured = [each for each in report.variants if each.id not in remedies and each.measurement is not None]
    yield from (each.id for each in sorted(measured, key=lambda each: each.probe is None)[:others])


def summarize(cures: Sequence[Cure]) -> str:
    """Shares of the repairable, and every network whose first remedy does not work."""
    both = [each for each in cures if each.fails_both]
    return "\n".join([*_score("fail with SGD", cures, SGD), *_score("fail with both optimisers", both, ANY)])


def _score(title: str, cures: Sequence[Cure], optimizers: Sequence[str]) -> Iterator[str]:
    repairable = [each for each in cures if each.repairable(optimizers)]
    worked = [each.repaired(optimizers) for each in repairable]
    yield f"{len(cures)} networks {title}, {len(repairable)} can be repaired with {' or '.join(optimizers)}"
    yield f"  first remedy works: {sum(each[:1] == [True] for each in worked)}/{len(repairable)}"
    yield f"  one of the first {TOP} works: {sum(map(any, worked))}/{len(repairable)}"
    for each in repairable:
        if each.repaired(optimizers)[:1] != [True]:
            tried = ", ".join(f"{name} {each.loss(name, optimizers):.2f}" for name in each.losses)
            yield f"    {each.name} ({each.verdict}; remedies {', '.join(each.remedies) or 'none'}): {tried}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="what label.py wrote")
    parser.add_argument("--family", type=Family, nargs="*", default=list(Family), help="only these")
    parser.add_argument("--limit", type=int, help="only the first so many networks that fail")
    parser.add_argument("--others", type=int, help="train at most so many variants that are no remedies")
    parser.add_argument("--out", type=Path, help="JSON lines, continued where it ended")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    known: dict[str, Cure] = {}
    if arguments.out is not None and arguments.out.exists():
        known = {cured.name: cured for cured in (Cure(**json.loads(x)) for x in arguments.out.read_text().splitlines())}
    failing = [
        each
        for each in read_labels(arguments.labels)
        if each.label.fails_sgd and each.configuration.family in arguments.family
    ]
    cures = []
    for place, labelled in enumerate(failing[: arguments.limit]):
        name = labelled.configuration.name
        cured = known.get(name) or cure(labelled, arguments.others)
        if arguments.out is not None and name not in known:
            with arguments.out.open("a") as file:
                file.write(json.dumps(asdict(cured)) + "\n")
        cures.append(cured)
        sys.stderr.write(f"{place + 1} {cured.verdict} {cured.repaired(SGD)[:1]} {cured.repaired(ANY)[:1]} {name}\n")
    sys.stdout.write(summarize(cures) + "\n")


if __name__ == "__main__":
    main()
