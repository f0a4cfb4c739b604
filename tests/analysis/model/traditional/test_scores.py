"""What is made of raw scores: where the loss is taken, and two columns of one score."""

import numpy as np
import pytest

from analysis.convert.translate import read_graph
from analysis.graph.heads import Link, find_heads
from analysis.model import check_model
from tests.analysis.model.traditional.graphs import LABEL_AND_SCORES, assert_same, floats, single


@pytest.mark.parametrize(
    ("post", "rows", "link"),
    [
        ("NONE", 2, Link.IDENTITY), ("LOGISTIC", 2, Link.SIGMOID), ("SOFTMAX", 3, Link.SOFTMAX),
        ("LOGISTIC", 1, Link.SOFTMAX),
    ],
)  # fmt: skip
def test_the_loss_is_taken_at_the_scores_before_they_are_published(post: str, rows: int, link: Link) -> None:
    proto = single(
        "LinearClassifier", floats(2, 4), LABEL_AND_SCORES, coefficients=floats(rows * 4).tolist(),
        intercepts=floats(rows).tolist(), classlabels_ints=list(range(max(rows, 2))), post_transform=post,
    )  # fmt: skip
    model = check_model(proto.SerializeToString())
    (head,) = find_heads(model, read_graph(model).sources, frozenset({"linearclassifier.coefficients"}))
    assert (head.output, head.link) == ("y1", link)


def test_one_score_over_the_threshold_is_the_second_class() -> None:
    x = np.array([[-1.0], [0.0], [1.0]], np.float32)
    options = {"coefficients": [1.0], "intercepts": [0.0], "classlabels_ints": [0, 1]}
    assert_same(single("LinearClassifier", x, LABEL_AND_SCORES, **options), x=x)
