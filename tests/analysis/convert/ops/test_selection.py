"""Cases of the selection family."""

import numpy as np
import pytest
import torch

from analysis.convert import convert
from analysis.errors import Unsupported
from analysis.model import check_model
from tests.analysis.convert.ops.cases import RANDOM, Case, floats, ints, scalar

X = floats(3, 4, 2)
REPEATED = RANDOM.integers(0, 3, (4, 3, 2))
BOXES, SCORES = RANDOM.random((2, 30, 4)).astype(np.float32), RANDOM.random((2, 3, 30)).astype(np.float32)
WORDS = np.array([1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8, 7, 5, 6], np.int32)
TWO_ROWS = np.stack([WORDS, WORDS[::-1]]).astype(np.int64)
BIGRAMS = {
    "ngram_counts": [0, 4], "ngram_indexes": [6, 1, 2, 3, 4, 5, 0], "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
    "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 2, "mode": "TF",
}  # fmt: skip
TRIGRAMS = {
    "ngram_counts": [0, 0, 4], "ngram_indexes": [0, 1, 2, 3], "pool_int64s": [5, 6, 3, 3, 3, 3, 7, 8, 7, 5],
    "min_gram_length": 2, "max_gram_length": 3, "max_skip_count": 1, "mode": "TF",
}  # fmt: skip
WEIGHTS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]


def compress(name: str, axis: int | None, condition: list[int], **more: object) -> Case:
    attributes = {} if axis is None else {"axis": axis}
    return Case("Compress", [X, np.array(condition, bool)], attributes, name=name, **more)


def unique(name: str, x: np.ndarray, axis: int | None, sorts: int, **more: object) -> Case:
    """Onnx's reference mistakes the unsorted ones."""
    attributes = {"sorted": sorts} if axis is None else {"axis": axis, "sorted": sorts}
    return Case("Unique", [x], attributes, outputs=4, differentiable=False, name=name, **more)


def boxes(name: str, *inputs: np.ndarray | None, scores: np.ndarray = SCORES, **attributes: object) -> Case:
    return Case(
        "NonMaxSuppression", [BOXES, scores, *inputs], attributes, differentiable=False, returns=("int64",), name=name
    )


def n_grams(name: str, x: np.ndarray, attributes: dict, **more: object) -> Case:
    """Onnx's reference ignores the order of the output columns."""
    return Case("TfIdfVectorizer", [x], {**attributes, **more}, differentiable=False, returns=("float32",), name=name)


CASES = [
    compress("flat", None, [1, 0, 0, 1, 1] + [0, 1] * 9),
    compress("flat short", None, [0, 1, 1]),
    compress("rows", 0, [1, 0, 1]),
    compress("columns short", 1, [0, 1, 1], constant=(1,)),
    compress("last axis", -1, [0, 1]),
    compress("nothing", 1, [0, 0, 0, 0]),
    *[
        unique(f"{kind} {axis} {sorts}", REPEATED.astype(kind), axis, sorts)
        for kind in ("float32", "int64")
        for axis in (None, 0, 1, -1)
        for sorts in (0, 1)
    ],
    unique("bytes", REPEATED.astype(np.uint16), 2, 1),
    unique("logical", REPEATED > 1, None, 1),
    unique("one", np.array([5], np.float32), None, 0),
    Case("Unique", [np.array([2.0, 1.0, 1.0, 3.0], np.float32)], name="values only", differentiable=False),
    *[
        boxes(f"{name} {centred}", *inputs, center_point_box=centred)
        for centred in (0, 1)
        for name, inputs in (
            ("all inputs", [ints(5), scalar(0.3), scalar(0.2)]),
            ("overlap", [ints(100), scalar(0.1)]),
            ("touching", [ints(7)]),
            ("scalar limit", [scalar(3, np.int64), scalar(0.5)]),
            ("no limit is none", []),
            ("none", [ints(0), scalar(0.5)]),
            ("score only", [ints(4), None, scalar(0.9)]),
            ("no score", [ints(4), scalar(0.5), scalar(2.0)]),
        )
    ],
    boxes("ties", ints(9), scalar(0.3), scores=np.round(SCORES * 4).astype(np.float32) / 4),
    *[
        n_grams(f"{mode} {rows} {name}", x, BIGRAMS, mode=mode, **weights)
        for mode in ("TF", "IDF", "TFIDF")
        for rows, x in (("one row", WORDS), ("two rows", TWO_ROWS))
        for name, weights in (("alike", {}), ("weighted", {"weights": WEIGHTS}))
    ],
    n_grams("no single words", TWO_ROWS, BIGRAMS, min_gram_length=2),
    n_grams("no skips", TWO_ROWS, BIGRAMS, max_skip_count=0),
    n_grams("shared column", TWO_ROWS, BIGRAMS, ngram_indexes=[0, 8, 1, 1, 2, 2, 0]),
    n_grams("short rows", TWO_ROWS[:, :2], BIGRAMS),
    n_grams("trigrams", TWO_ROWS, TRIGRAMS),
    n_grams("only trigrams", TWO_ROWS, TRIGRAMS, min_gram_length=3),
]  # fmt: skip


def test_values_of_unique_have_a_gradient_at_their_first_place() -> None:
    case = Case("Unique", [np.array([2.0, 1.0, 1.0, 3.0], np.float32)], {"sorted": 0})
    module = convert(check_model(case.model(11).SerializeToString()))
    x = torch.tensor([2.0, 1.0, 1.0, 3.0], requires_grad=True)
    (values,) = module(x)
    (values * torch.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 10.0, 0.0, 100.0]


def test_words_are_refused() -> None:
    attributes = {key: value for key, value in BIGRAMS.items() if key != "pool_int64s"}
    case = Case("TfIdfVectorizer", [WORDS], {**attributes, "pool_strings": ["a"] * 10})
    with pytest.raises(Unsupported, match="pool_strings"):
        convert(check_model(case.model(9).SerializeToString()))
