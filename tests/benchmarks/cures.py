"""Whether the remedies work: each is exported, loaded again, and really trained by somebody else's loop.

A network counts that fails with SGD and that some variant of the catalogue repairs: where the first remedy does not,
the others and then the measured variants are trained until one does. Repaired: the best rate of SGD ends under half of
chance. The first remedy and the first three are scored; networks that nothing repairs are counted apart. The same
for networks that fail with both optimisers, and a repair by any.
"""

import json
import math
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from analysis.experiment.export import Destination
from analysis.facts import ClipKind, GradientStep
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Report

FAILS = 0.5
TOP = 3
SGD, ANY = ("sgd",), ("sgd", "adam")
Train = Callable[[Path, float | None, float], Mapping[str, float]]
"""(exported model, norm to clip at, decay) -> the best final loss over chance of each optimiser."""


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


@dataclass(frozen=True)
class Patient:
    """A network that fails, and how it is trained."""

    name: str
    family: str
    fails_both: bool
    model: bytes
    batch: bytes
    options: AnalysisOptions
    train: Train

    def cure(self, others: int | None) -> Cure:
        """Analyse, export, train the first remedy, and on until something works, at most so many that are none."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            report = analyze(self.model, self.batch, self.options, models=Destination(folder))
            variants = {each.id: each for each in report.variants}
            losses: dict[str, dict[str, float]] = {}
            for name in _in_turn(report, others):
                model, step = variants[name].model, variants[name].gradient_step
                if model is None or step is None:
                    continue
                losses[name] = dict(self.train(folder / f"{model.href.split('/')[1]}.onnx", *_clip_and_decay(step)))
                if losses[name]["sgd"] < FAILS:
                    break
        remedies = [remedy.variant for remedy in report.remedies]
        return Cure(self.name, self.family, self.fails_both, report.verdict.value, remedies, losses)


def _in_turn(report: Report, others: int | None) -> Iterator[str]:
    yield from (remedy.variant for remedy in report.remedies)
    remedies = {"baseline", *(remedy.variant for remedy in report.remedies)}
    measured = [each for each in report.variants if each.id not in remedies and each.measurement is not None]
    yield from (each.id for each in sorted(measured, key=lambda each: each.probe is None)[:others])


def _clip_and_decay(step: GradientStep) -> tuple[float | None, float]:
    clip = step.clip
    return clip.max_norm if clip is not None and clip.kind is ClipKind.GLOBAL_NORM else None, step.weight_decay


def add_arguments(parser: ArgumentParser) -> None:
    """What `cure_all` is asked."""
    parser.add_argument("--limit", type=int, help="only the first so many networks that fail")
    parser.add_argument("--others", type=int, help="train at most so many variants that are no remedies")
    parser.add_argument("--out", type=Path, help="JSON lines, continued where it ended")


def cure_all(patients: Iterable[tuple[str, Callable[[], Patient]]], others: int | None, out: Path | None) -> str:
    """The summary; what the file has already is not done again."""
    known: dict[str, Cure] = {}
    if out is not None and out.exists():
        known = {cure.name: cure for cure in (Cure(**json.loads(line)) for line in out.read_text().splitlines())}
    cures = []
    for place, (name, patient) in enumerate(patients, 1):
        cure = known.get(name) or patient().cure(others)
        if out is not None and name not in known:
            with out.open("a") as file:
                file.write(json.dumps(asdict(cure)) + "\n")
        cures.append(cure)
        sys.stderr.write(f"{place} {cure.verdict} {cure.repaired(SGD)[:1]} {cure.repaired(ANY)[:1]} {name}\n")
    return summarize(cures)


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
