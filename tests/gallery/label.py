"""Labels from really training the exported models: `python -m tests.gallery.label [first_half|held_out] [name ...]`.

The exported graph as converted here (its gradients are tested against other implementations), fresh minibatches of 64,
200 steps of SGD with momentum 0.9 at 0.1, 0.01 and 0.001, then of Adam at 0.003 and 0.0003. A run trains if the mean
loss of its last 10 steps is under half of chance. `trains`: some run of SGD does. `adam`: Adam alone. `fails`: none.
Once a run of an optimiser trained, its others are not needed. Where an exhibit is exported for training, its Dropout is
on; where it is trained by minibatches of its own size, so is it here, with twice as many steps; where it
ends in its own loss, losses are as they are, which begin near 1 there.
"""

import importlib
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.dropout import dropping_of
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from analysis.training.grid import as_many_samples
from tests.gallery.exhibit import LABELS, Exhibit

STEPS, MINIBATCH, LAST = 200, 64, 10
ENOUGH = 0.5
SGD = (0.1, 0.01, 0.001)
ADAM = (3e-3, 3e-4)


def label(exhibit: Exhibit, seed: int) -> dict[str, Any]:
    """What training says, and the losses over chance it ended with."""
    subject = prepare(check_model(exhibit.model(seed)), exhibit.batch(seed), AnalysisOptions(**exhibit.options))
    if exhibit.training:
        subject = replace(subject, dropping=dropping_of(subject.model, seed))
    finals: dict[str, float] = {}
    verdict = "fails"
    for optimizer, rates, says in (("sgd", SGD, "trains"), ("adam", ADAM, "adam")):
        for rate in rates:
            final = finals[f"{optimizer} {rate:g}"] = train(exhibit, subject, seed, optimizer, rate)
            if final < ENOUGH:
                return {"label": says, "losses": _told(finals)}
    return {"label": verdict, "losses": _told(finals)}


def _told(finals: dict[str, float]) -> dict[str, Any]:
    return {name: round(final, 3) if math.isfinite(final) else str(final) for name, final in finals.items()}


def train(
    exhibit: Exhibit,
    subject: Subject,
    seed: int,
    optimizer: str,
    rate: float,
    max_norm: float | None = None,
    decay: float = 0.0,
) -> float:
    """Loss over chance at the end; weights are put back."""
    weights = [parameter for parameter in subject.converted.parameters() if parameter.requires_grad]
    start = [weight.detach().clone() for weight in weights]
    told, last = exhibit.options.get("minibatch_size"), LAST * _times(exhibit)
    subject.converted.train(told is not None or subject.batch_statistics)
    step: torch.optim.Optimizer = torch.optim.Adam(weights, rate, weight_decay=decay)
    if optimizer == "sgd":
        step = torch.optim.SGD(weights, rate, momentum=0.9, weight_decay=decay)
    losses = []
    for loss in _losses(exhibit, subject, seed):
        losses.append(float(loss.detach()) / (subject.objective.chance or 1.0))
        if not math.isfinite(losses[-1]):
            break
        step.zero_grad()
        loss.backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(weights, max_norm)
        step.step()
    subject.converted.eval()
    with torch.no_grad():
        for weight, before in zip(weights, start, strict=True):
            weight.copy_(before)
    return sum(losses[-last:]) / last if len(losses) == STEPS * _times(exhibit) else math.inf


def _times(exhibit: Exhibit) -> int:
    return min(as_many_samples(exhibit.options.get("minibatch_size")), 2)


def _losses(exhibit: Exhibit, subject: Subject, seed: int) -> Iterator[torch.Tensor]:
    random, sampler = np.random.default_rng((seed, 2)), exhibit.sampler(seed)
    for _ in range(STEPS * _times(exhibit)):
        x, target = sampler(random, exhibit.options.get("minibatch_size", MINIBATCH))
        outputs = subject.training_outputs([torch.from_numpy(x)])
        yield subject.objective.loss(outputs, None if exhibit.own_loss else torch.from_numpy(target))


def main(half: str, *names: str) -> None:
    """Label what has no label yet, or the exhibits named."""
    torch.set_num_threads(1)
    module = importlib.import_module(f"tests.gallery.{half}")
    known = json.loads(LABELS.read_text()) if LABELS.exists() else {}
    for exhibit in module.EXHIBITS:
        for seed in module.SEEDS:
            if exhibit.name in names or (not names and str(seed) not in known.get(exhibit.name, {})):
                known.setdefault(exhibit.name, {})[str(seed)] = found = label(exhibit, seed)
                print(f"{exhibit.name:<50} {seed} {found['label']:<7} {found['losses']}", flush=True)  # noqa: T201
                LABELS.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
