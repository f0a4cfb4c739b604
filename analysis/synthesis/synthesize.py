"""A batch that a graph runs on, where nobody sent one."""

import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from analysis.batch.samples import Batch, sample_axes
from analysis.convert import DifferentiableModel
from analysis.convert.program import CHECK_INPUTS
from analysis.errors import AnalysisError, LimitExceeded, NodeFailed
from analysis.facts import Provenance
from analysis.model import CheckedModel
from analysis.model.checked import ValueSpec
from analysis.model.weights import Array
from analysis.synthesis.draw import Feed, draw
from analysis.synthesis.ids import over_rows, spread
from analysis.synthesis.kinds import Kind, kind_of, rank_of
from analysis.synthesis.refine import refine
from analysis.synthesis.scales import UNIT, expected_scale
from analysis.synthesis.sizes import SAMPLE_COUNTS, SAMPLES, Sizes, first_sizes, names_of, open_axes, search, shape_of
from analysis.synthesis.tables import indexed_by, tables_of
from analysis.synthesis.trial import Outcome, Trials

LARGEST_LENGTH: Final = 4096
CHOOSING: Final = frozenset({Kind.IDS, Kind.POSITIONS})
KEYS: Final = frozenset({Kind.KEYS, Kind.LAST_KEY})
TOKENS: Final = (Kind.IDS, Kind.NUMBERS)
"""What comes along an axis of steps, the likelier first."""


def _whole(batch: Batch) -> Batch:
    return batch


def synthesize_batch(
    model: CheckedModel, converted: DifferentiableModel, size: int, seed: int, fit: Callable[[Batch], Batch] = _whole
) -> Batch:
    """A batch of `size` samples (of fewer, where the graph runs with no more), seeded and marked as made up.

    `fit` takes the part of a batch that can be measured, and only that is run. Raises NodeFailed where no sizes and
    ids were found with which the graph runs, LimitExceeded where it asks for too much, OutOfTime where that takes too
    long, BadBatch for an input that holds no numbers, and what `fit` raises.
    """
    return _Search(model, converted, seed).batch(size, fit)


def synthesize_inputs(
    model: CheckedModel, converted: DifferentiableModel, resized: Sequence[ValueSpec], seed: int
) -> dict[str, Array]:
    """Inputs of the graph as it is, drawn with other sizes: `resized` are its inputs, with those sizes fixed.

    Raises as `synthesize_batch` does.
    """
    return _Search(model, converted, seed).inputs(resized)


def feed_of(model: CheckedModel, spec: ValueSpec) -> Feed:
    """What an input holds and at which scale, as the graph shows it."""
    if spec.shape is None:
        spec = replace(spec, shape=(None,) * rank_of(model, spec))
    kind = kind_of(model, spec)
    scaled = kind in {Kind.NUMBERS, Kind.PICTURE, Kind.SOUND}
    scale = expected_scale(model, spec.name, len(spec.shape or ())) if scaled else UNIT
    return Feed(spec, kind, scale)


class _Search:
    """The feeds of one graph, made to fit it: first the sizes of open axes, then lengths, then ids."""

    def __init__(self, model: CheckedModel, converted: DifferentiableModel, seed: int) -> None:
        self._model, self._seed = model, seed
        self._trials = Trials(converted)
        self._feeds = {spec.name: feed_of(model, spec) for spec in model.inputs}
        self._sizes = self._find_sizes()
        self._fit_lengths(self._sizes)
        self._spread_ids(self._sizes)

    def inputs(self, resized: Sequence[ValueSpec]) -> dict[str, Array]:
        """With the sizes that `resized` fixes."""
        feeds = {spec.name: replace(self._feeds[spec.name], spec=spec) for spec in resized if spec.shape is not None}
        return self._inputs(self._sizes, feeds)

    def batch(self, size: int, fit: Callable[[Batch], Batch]) -> Batch:
        """With as many samples as wanted, or with which the graph runs; axes of size 1 may count samples, too."""
        counts = [size, *(count for count in SAMPLE_COUNTS if count != size)] if self._is_open() else [size]
        alike = [name for name in open_axes(list(self._feeds.values())) if self._sizes[name] == 1]
        outcome = None
        for count, together in itertools.product(counts, [(), alike] if alike else [()]):
            sizes = {**self._sizes, SAMPLES: count, **dict.fromkeys(together, count)}
            note = "" if count == size else _fewer(size, count)
            batch = fit(self._named(self._inputs(sizes), note))
            outcome = self._trials.run(batch.inputs, decisive=True)
            if outcome.ran:
                return self._refined(sizes, note, batch, fit)
            if self._trials.exhausted:
                break
        assert outcome is not None
        raise self._refused(outcome)

    def _refined(self, sizes: Sizes, note: str, batch: Batch, fit: Callable[[Batch], Batch]) -> Batch:
        """A batch that says more of the graph than this one, if there is any; `fit` is what it was cut by."""

        def attempt(changed: Mapping[str, Feed]) -> Outcome:
            return self._trials.run(fit(self._named(self._inputs(sizes, changed), note)).inputs)

        better = self._feeds if self._trials.exhausted else refine(self._feeds, attempt)
        if better == self._feeds or not attempt(better).ran:
            return batch
        self._feeds = better
        return fit(self._named(self._inputs(sizes), note))

    def _find_sizes(self) -> Sizes:
        """Of the open axes, with one sample; where all is fixed, and all ids are known, there is nothing to try."""
        feeds = list(self._feeds.values())
        unknown = any(feed.kind in CHOOSING and not indexed_by(self._model, feed.spec) for feed in feeds)
        if not self._is_open() and not open_axes(feeds) and not unknown:
            return first_sizes(self._model, feeds)
        refused = None
        for least in (0, 1):  # some graphs take no id 0
            self._feeds = {
                name: replace(feed, low=least, high=least) if feed.kind in CHOOSING else feed
                for name, feed in self._feeds.items()
            }
            sizes, outcome = search(self._model, list(self._feeds.values()), self._attempt)
            if outcome.ran:
                return sizes
            refused = refused or outcome
        assert refused is not None
        raise self._refused(refused)

    def _fit_lengths(self, sizes: Sizes) -> None:
        """As long as the sequences beside them."""
        lengths = sorted(
            {size for name, feed in self._feeds.items() for size in self._shape(feed, sizes)}, reverse=True
        )
        for name, feed in self._feeds.items():
            if feed.kind is not Kind.LENGTHS:
                continue
            for length in lengths:
                self._feeds[name] = replace(feed, high=length)
                if length <= LARGEST_LENGTH and self._attempt(sizes).ran:
                    break
            else:
                self._feeds[name] = feed

    def _spread_ids(self, sizes: Sizes) -> None:
        """Spread over their tables."""
        for name, feed in self._feeds.items():
            if feed.kind is not Kind.IDS:
                continue

            def attempt(changed: Feed, watched: Sequence[str], name: str = name) -> Outcome:
                return self._attempt(sizes, {name: changed}, watched)

            known = indexed_by(self._model, feed.spec)
            self._feeds[name] = (
                over_rows(feed, known) if known else spread(feed, tables_of(self._model, feed.spec), attempt)
            )

    def _is_open(self) -> bool:
        return any(SAMPLES in names_of(feed.spec, feed.spec.shape or ()) for feed in self._feeds.values())

    def _attempt(self, sizes: Sizes, changed: Mapping[str, Feed] | None = None, watched: Sequence[str] = ()) -> Outcome:
        """Run the graph; sizes for which no input can be made up fail like any other."""
        try:
            inputs = self._inputs(sizes, changed)
        except LimitExceeded as error:
            return Outcome((), error, {})
        return self._trials.run(inputs, watched)

    def _inputs(self, sizes: Sizes, changed: Mapping[str, Feed] | None = None) -> dict[str, Array]:
        random = np.random.default_rng(self._seed)
        feeds = _counting_keys({**self._feeds, **(changed or {})}, lambda feed: self._shape(feed, sizes))
        return {name: draw(feed, self._shape(feed, sizes), random) for name, feed in feeds.items()}

    def _shape(self, feed: Feed, sizes: Sizes) -> tuple[int, ...]:
        return shape_of(names_of(feed.spec, feed.spec.shape or ()), sizes)

    def _named(self, inputs: Mapping[str, Array], note: str) -> Batch:
        count, axes = sample_axes(self._model, inputs, {})
        digest = hashlib.sha256()
        for name, array in inputs.items():
            digest.update(name.encode() + np.asarray(array, order="C").tobytes())
        told = "inputs were made up: " + "; ".join(_told(self._feeds[name], array) for name, array in inputs.items())
        return Batch(inputs, {}, count, axes, digest.hexdigest(), Provenance.SYNTHETIC, (told, *filter(None, [note])))

    def _refused(self, outcome: Outcome) -> AnalysisError:
        error = outcome.error
        assert error is not None
        axes = ", ".join(open_axes(list(self._feeds.values())))
        tried = f"no batch could be made up for which the graph runs{f' (open axes: {axes})' if axes else ''}"
        kind = LimitExceeded if isinstance(error, LimitExceeded) else NodeFailed
        return kind(f"{tried}: {error.detail}", where=error.where, hint=error.hint or CHECK_INPUTS)


def _counting_keys(feeds: Mapping[str, Feed], shape: Callable[[Feed], tuple[int, ...]]) -> Mapping[str, Feed]:
    """Those that count keys have as many as there are tokens: a prompt, whatever the cache beside it holds."""
    steps = [shape(feed)[1:2] for kind in TOKENS for feed in feeds.values() if feed.kind is kind]
    (prompt,) = next(filter(None, steps), (1,))
    counted = {name: replace(feed, high=prompt) for name, feed in feeds.items() if feed.kind in KEYS}
    return {**feeds, **counted}


def _told(feed: Feed, array: Array) -> str:
    """One input in words."""
    shape = " x ".join(map(str, array.shape)) or "one number"
    if feed.kind in CHOOSING:
        return f"{feed.spec.name} ({shape}) holds {feed.kind} from {feed.low} to {feed.high}"
    if feed.scale.pixels or (feed.kind is Kind.PICTURE and feed.spec.dtype == "uint8"):
        return f"{feed.spec.name} ({shape}) holds pixels of 0 to 255"
    return f"{feed.spec.name} ({shape}) holds {feed.kind}"


def _fewer(wanted: int, count: int) -> str:
    made = "one was" if count == 1 else f"{count} were"
    return f"the graph does not run with {wanted} samples, so {made} made up"
