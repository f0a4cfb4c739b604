import pytest

from analysis.graph.dropout import find_dropout, has_ratio_input
from tests.analysis.graph.dropping import dropping


@pytest.mark.parametrize("opset", [10, 13])
def test_the_ratio_is_an_attribute_or_a_constant_input_and_a_half_where_none_is_named(opset: int) -> None:
    found = list(find_dropout(dropping(opset, [0.8, None, 0.25])))
    assert [ratio for _, ratio in found] == pytest.approx([0.8, 0.5, 0.25])
    assert [node.output[0] for node, _ in found] == ["v1", "v2", "v3"]
    assert [has_ratio_input(node) for node, _ in found] == [opset > 11, False, opset > 11]


def test_one_that_drops_nothing_or_an_unknown_share_is_none() -> None:
    assert not list(find_dropout(dropping(13, [0.0])))
    assert not list(find_dropout(dropping(13, [0.5], computed=True)))
