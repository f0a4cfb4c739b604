"""Do the targets follow from the inputs? What readers that need no training say of samples they have not seen.

A network that does not learn, or learns its samples by heart and names no other one right, may face targets that do
not follow from its inputs: labels that were shuffled apart, another file's column, noise. Two readers are asked, a
straight line (ridge regression) and the mean of the nearest neighbours, and both again with the targets permuted, which
tells what they come to by luck. A small network of known health is trained on the same samples beside them.

All of them see inputs whose features are standardised, and targets as numbers of variance one; a label is a row with a
one. What they come to is the explained share of variance on a quarter that they did not see, four times over: 0 as by
the best constant, 1 all.
"""

import itertools
from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from analysis.facts import Provenance, TargetReading
from analysis.measure.readable import HELD_OUT, RIDGE
from analysis.model.weights import Array
from analysis.options import LossName, OptimizerName
from analysis.subject.subject import Subject
from analysis.training.grid import Training
from analysis.training.updates import update_of

PERMUTATIONS: Final = 20
"""One in twenty of noisy targets looks as if it followed."""
NEIGHBOURS: Final = 5
MOST_SAMPLES: Final = 768
MOST_FEATURES: Final = 50_000
MOST_TARGETS: Final = 256
WIDTH: Final = 64
REFERENCE_STEPS: Final = 200
REFERENCE: Final = Training(OptimizerName.ADAM, 3e-3)
MINIBATCH: Final = 32
EVERY: Final = 10


def read_targets(subject: Subject, seed: int, tick: Callable[[], object] = int) -> TargetReading | None:
    """What the readers come to; None where there is no row of numbers a sample. `tick` is called now and then."""
    x, y = features_of(subject), targets_of(subject)
    if x is None or y is None or len(x) != len(y):
        return None
    random = np.random.default_rng((seed, 5))
    rows = random.permutation(len(x))[:MOST_SAMPLES]
    x, y = standardized(x[rows]), standardized(y[rows])
    tick()
    line, near = readers_of(x)
    by_luck = []
    for _ in range(PERMUTATIONS):
        tick()
        mixed = random.permutation(y)
        by_luck.append(max(explained(line @ mixed, mixed), explained(near @ mixed, mixed)))
    return TargetReading(
        samples=len(x), linear=explained(line @ y, y), neighbours=explained(near @ y, y), permuted=max(by_luck),
        reference=reference_share(x, y, seed, tick),
    )  # fmt: skip


def features_of(subject: Subject) -> Array | None:
    """Inputs of floats [N, F], samples first; None where there are others, or too many features."""
    columns = []
    for name, array in subject.batch.inputs.items():
        axis = subject.batch.axes.get(name)
        if axis is None or array.dtype.kind != "f" or array.shape[axis] != subject.batch.size:
            return None
        columns.append(np.moveaxis(array, axis, 0).reshape(subject.batch.size, -1))
    whole = np.concatenate(columns, axis=1).astype(np.float64) if columns else np.zeros((0, 0))
    return whole if 0 < whole.shape[1] <= MOST_FEATURES and np.isfinite(whole).all() else None


def targets_of(subject: Subject) -> Array | None:
    """Uploaded targets as numbers [N, T]: one-hot rows of labels; None where a sample has too many of them."""
    objective = subject.objective
    targets = objective.targets
    if targets is None or objective.provenance is not Provenance.UPLOADED or len(targets) != subject.batch.size:
        return None
    if objective.name in {LossName.CROSS_ENTROPY, LossName.NLL} and not objective.soft:
        known = np.unique(targets)
        return (targets[:, None] == known).astype(np.float64) if targets.ndim == 1 else None
    flat = targets.reshape(len(targets), -1).astype(np.float64)
    return flat if flat.shape[1] <= MOST_TARGETS else None


def standardized(x: Array) -> Array:
    """Each column with mean zero and variance one; a constant one is zero."""
    centred = x - x.mean(0)
    scale = centred.std(0)
    whole: Array = np.divide(centred, scale, out=np.zeros_like(centred), where=scale > 0)
    return whole


def readers_of(x: Array) -> tuple[Array, Array]:
    """A straight line and the nearest neighbours, as matrices [N, N] that make predictions of targets [N, T].

    What they say of a sample is made of the other three quarters. Ridge regression in its dual form, centred (Saunders
    et al. 1998).
    """
    gram = x @ x.T
    squares = np.diag(gram)
    distances = squares[:, None] + squares[None] - 2 * gram
    line, near = np.zeros_like(gram), np.zeros_like(gram)
    for part in range(HELD_OUT):
        held = np.arange(part, len(x), HELD_OUT)
        known = np.setdiff1d(np.arange(len(x)), held)
        inner = gram[np.ix_(known, known)]
        ridge = max(RIDGE * float(np.trace(inner)) / len(known), np.finfo(float).tiny)
        weights = np.linalg.solve(inner + ridge * np.eye(len(known)), gram[np.ix_(known, held)]).T
        line[np.ix_(held, known)] = weights - weights.mean(1, keepdims=True) + 1 / len(known)
        nearest = known[np.argsort(distances[np.ix_(held, known)], axis=1)[:, :NEIGHBOURS]]
        near[held[:, None], nearest] = 1 / NEIGHBOURS
    return line, near


def explained(predicted: Array, y: Array) -> float:
    """1 - squared error over variance."""
    variance = float(np.square(y - y.mean(0)).sum())
    return 1 - float(np.square(predicted - y).sum()) / variance if variance else 0.0


def reference_share(x: Array, y: Array, seed: int, tick: Callable[[], object] = int) -> float:
    """The best that a small network of known health explains of a quarter it is not trained on.

    Two hidden ReLU layers, He's initialisation, Adam; its best moment counts, before it knows the others by heart.
    """
    random = torch.Generator().manual_seed(seed)
    held = len(x) // HELD_OUT
    inputs, wanted = (torch.from_numpy(each.astype(np.float32)) for each in (x, y))
    sizes = (x.shape[1], WIDTH, WIDTH, y.shape[1])
    weights = [
        (torch.randn(a, b, generator=random) * (2 / a) ** 0.5).requires_grad_() for a, b in itertools.pairwise(sizes)
    ]
    biases = [torch.zeros(size, requires_grad=True) for size in sizes[1:]]
    update, trainable, best = update_of(REFERENCE), [*weights, *biases], -np.inf
    for step in range(REFERENCE_STEPS + 1):
        tick()
        if step % EVERY == 0:
            with torch.no_grad():
                best = max(best, explained(_outputs(inputs[:held], weights, biases).double().numpy(), y[:held]))
        rows = held + torch.randint(len(x) - held, (MINIBATCH,), generator=random)
        loss = (_outputs(inputs[rows], weights, biases) - wanted[rows]).square().mean()
        gradients = torch.autograd.grad(loss, trainable)
        with torch.no_grad():
            update(trainable, gradients)
    return float(best)


def _outputs(x: torch.Tensor, weights: list[torch.Tensor], biases: list[torch.Tensor]) -> torch.Tensor:
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = torch.relu(x @ weight + bias)
    return x @ weights[-1] + biases[-1]
