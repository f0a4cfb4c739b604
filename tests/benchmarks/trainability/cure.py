"""Whether the remedies work: each is exported, loaded again, and really trained on fresh minibatches.

    python -m tests.benchmarks.trainability.cure --labels labels.jsonl [--limit N] [--out cures.jsonl]

A network counts that fails with SGD and that some variant of the catalogue repairs: where the first remedy does not,
the others and then all measured variants are trained until one does. Repaired: the best run of the grid ends under
half of chance. The first remedy and the first three are scored; networks that nothing repairs are counted apart.
"""

import argparse
import json
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
from tests.benchmarks.trainability.configurations import Configuration
from tests.benchmarks.trainability.export import to_npz, to_onnx
from tests.benchmarks.trainability.label import read_labels
from tests.benchmarks.trainability.networks import build
from tests.benchmarks.trainability.prediction import BUDGET_SECONDS, SAMPLES, UPLOAD_SEED
from tests.benchmarks.trainability.tasks import make_task
from tests.benchmarks.trainability.training import FAILS, best_loss

TOP = 3


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
    verdict: str
    remedies: Sequence[str]
    losses: dict[str, float]
    """Variant to the best final loss over chance; those that were trained."""

    @property
    def repaired(self) -> list[bool]:
        """Whether each of the first remedies works, best first; those that were not trained are not in it."""
        return [self.losses[name] < FAILS for name in self.remedies[:TOP] if name in self.losses]

    @property
    def repairable(self) -> bool:
        """Whether anything works."""
        return any(loss < FAILS for loss in self.losses.values())


def cure(configuration: Configuration) -> Cure:
    """Analyse, export, train the first remedy, and on until something works."""
    task = make_task(configuration)
    example, _ = task.sample(2, torch.Generator().manual_seed(0))
    options = AnalysisOptions(budget_seconds=BUDGET_SECONDS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        batch = to_npz(task, SAMPLES, UPLOAD_SEED + configuration.seed)
        report = analyze(to_onnx(build(configuration), example), batch, options, models=Destination(folder))
        variants = {each.id: each for each in report.variants if each.model is not None}
        losses: dict[str, float] = {}
        for name in _in_turn(report):
            if name in variants:
                losses[name] = _train(folder, variants[name], configuration)
            if losses.get(name, FAILS) < FAILS:
                break
    remedies = [remedy.variant for remedy in report.remedies]
    return Cure(configuration.name, report.verdict.value, remedies, losses)


def _train(folder: Path, variant: Variant, configuration: Configuration) -> float:
    """As the remedy says: the exported model, with its gradient step."""
    assert variant.model is not None
    assert variant.gradient_step is not None
    module = Reloaded(folder / f"{variant.model.href.split('/')[1]}.onnx").train()
    clip, decay = variant.gradient_step.clip, variant.gradient_step.weight_decay
    max_norm = clip.max_norm if clip is not None and clip.kind is ClipKind.GLOBAL_NORM else None
    return best_loss(module, configuration, max_norm, decay)


def _in_turn(report: Report) -> Iterator[str]:
    yield from (remedy.variant for remedy in report.remedies)
    measured = [each for each in report.variants if each.id != "baseline" and each.measurement is not None]
    yield from (each.id for each in sorted(measured, key=lambda each: each.probe is None))


def summarize(cures: Sequence[Cure]) -> str:
    """Shares of the repairable, and every network whose first remedy does not work."""
    repairable = [each for each in cures if each.repairable]
    first = sum(each.repaired[:1] == [True] for each in repairable)
    some = sum(any(each.repaired) for each in repairable)
    lines = [
        f"{len(cures)} networks fail with SGD, {len(repairable)} can be repaired",
        f"first remedy works: {first}/{len(repairable)}",
        f"one of the first {TOP} works: {some}/{len(repairable)}",
    ]
    for each in repairable:
        if each.repaired[:1] != [True]:
            tried = ", ".join(f"{name} {loss:.2f}" for name, loss in each.losses.items())
            lines.append(f"  {each.name} ({each.verdict}; remedies {', '.join(each.remedies) or 'none'}): {tried}")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True, help="what label.py wrote")
    parser.add_argument("--limit", type=int, help="only the first so many networks that fail")
    parser.add_argument("--out", type=Path, help="JSON lines, continued where it ended")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failing = [each.configuration for each in read_labels(arguments.labels) if each.label.fails_sgd]
    known: dict[str, Cure] = {}
    if arguments.out is not None and arguments.out.exists():
        known = {cured.name: cured for cured in (Cure(**json.loads(x)) for x in arguments.out.read_text().splitlines())}
    cures = []
    for place, configuration in enumerate(failing[: arguments.limit]):
        cured = known.get(configuration.name) or cure(configuration)
        if arguments.out is not None and configuration.name not in known:
            with arguments.out.open("a") as file:
                file.write(json.dumps(asdict(cured)) + "\n")
        cures.append(cured)
        sys.stderr.write(f"{place + 1} {cured.verdict} {cured.repaired[:1]} {configuration.name}\n")
    sys.stdout.write(summarize(cures) + "\n")


if __name__ == "__main__":
    main()
