"""Which layer is which: networks written down by hand, as two exporters or two authors would write them."""

from itertools import pairwise

import pytest

from analysis.comparison.excerpt import LayerExcerpt, TensorExcerpt
from analysis.comparison.match import MatchedBy, match_layers


def layer(number: int, name: str, op: str, *shape: int, weight: str = "", bias: bool = True) -> LayerExcerpt:
    parameters = {"weight": TensorExcerpt(initializer=weight, shape=shape)}
    if bias:
        parameters["bias"] = TensorExcerpt(initializer=weight + ".bias" if weight else "", shape=(shape[0],))
    return LayerExcerpt(id=f"layer-{number:02d}", name=name, op=op, parameters=parameters)


def sequential(*sizes: int, name: str = "/{}/Gemm", weight: str = "{}.weight") -> tuple[LayerExcerpt, ...]:
    """Linear layers with activations between them: nodes and weights are called by place."""
    return tuple(
        layer(at + 1, name.format(2 * at), "Gemm", after, before, weight=weight.format(2 * at))
        for at, (before, after) in enumerate(pairwise(sizes))
    )


def matched(
    old: tuple[LayerExcerpt, ...], new: tuple[LayerExcerpt, ...], *, same_model: bool = False
) -> dict[str, str]:
    return {each.old.id: each.new.id for each in match_layers(old, new, same_model=same_model)}


def signs(old: tuple[LayerExcerpt, ...], new: tuple[LayerExcerpt, ...]) -> list[str]:
    return [each.by.value for each in match_layers(old, new)]


IDENTITY = {"layer-01": "layer-01", "layer-02": "layer-02", "layer-03": "layer-03"}


def test_layers_of_the_same_model_are_known_by_id() -> None:
    network = sequential(8, 8, 8, 8, name="", weight="")
    matches = match_layers(network, network, same_model=True)
    assert {each.old.id: each.new.id for each in matches} == IDENTITY
    assert {each.by for each in matches} == {MatchedBy.ID}


def test_an_id_that_another_version_gave_to_another_node_is_not_believed() -> None:
    """A newer version finds a layer in front."""
    old = (layer(1, "/a/Gemm", "Gemm", 8, 8), layer(2, "/b/Gemm", "Gemm", 8, 8))
    new = (layer(1, "/stem/Gemm", "Gemm", 8, 8), layer(2, "/a/Gemm", "Gemm", 8, 8), layer(3, "/b/Gemm", "Gemm", 8, 8))
    assert matched(old, new, same_model=True) == {"layer-01": "layer-02", "layer-02": "layer-03"}


def test_layers_are_known_by_name_wherever_they_stand() -> None:
    old = sequential(4, 16, 8, 2)
    new = (layer(1, "/stem/Gemm", "Gemm", 4, 4, weight="stem.weight"), *old[1:], old[0])
    new = tuple(each.model_copy(update={"id": f"layer-{place:02d}"}) for place, each in enumerate(new, 1))
    assert matched(old, new) == {"layer-01": "layer-04", "layer-02": "layer-02", "layer-03": "layer-03"}
    assert signs(old, new) == ["name"] * 3


def test_weights_keep_their_names_where_nodes_do_not() -> None:
    """Nodes numbered by an exporter; a layer of the same shape was inserted in front."""
    old = tuple(layer(n, f"Gemm_{n}", "Gemm", 8, 8, weight=f"block.{name}") for n, name in enumerate("abc", 1))
    new = tuple(layer(n, f"Gemm_{n}", "Gemm", 8, 8, weight=f"block.{name}") for n, name in enumerate("xabc", 1))
    assert matched(old, new) == {"layer-01": "layer-02", "layer-02": "layer-03", "layer-03": "layer-04"}


def test_a_weight_that_an_exporter_numbered_is_no_name() -> None:
    old = tuple(layer(n, f"/{name}/MatMul", "MatMul", 8, 8, weight=f"onnx::MatMul_{n}") for n, name in enumerate("ab"))
    new = tuple(layer(n, f"/{name}/MatMul", "MatMul", 8, 8, weight=f"onnx::MatMul_{n}") for n, name in enumerate("xab"))
    assert matched(old, new) == {"layer-00": "layer-01", "layer-01": "layer-02"}


def test_another_exporter_is_seen_through_by_structure() -> None:
    """A product and an addition instead of a Gemm, weights transposed, a bias with an axis more, every name another."""
    old = sequential(4, 16, 8, 2)
    new = tuple(
        LayerExcerpt(
            id=each.id,
            name=f"node_linear_{place}",
            op="MatMul",
            parameters={
                "weight": TensorExcerpt(initializer=f"val_{place}", shape=each.parameters["weight"].shape[::-1]),
                "bias": TensorExcerpt(initializer=f"b_{place}", shape=(1, *each.parameters["bias"].shape)),
            },
        )
        for place, each in enumerate(old)
    )
    assert matched(old, new) == IDENTITY
    assert signs(old, new) == ["structure"] * 3
    assert not any(each.resized for each in match_layers(old, new))


def test_other_operators_and_other_roles_are_another_structure() -> None:
    conv = (layer(1, "a", "Conv", 8, 8),)
    assert matched(conv, (layer(1, "b", "Gemm", 8, 8),)) == {}
    assert matched(conv, (layer(1, "b", "Conv", 8, 8, bias=False),)) == {}
    assert matched((layer(1, "a", "Conv", 8, 4),), (layer(1, "b", "Conv", 4, 8),)) == {}
    assert matched(conv, (layer(1, "b", "Conv", 8, 8),)) == {"layer-01": "layer-01"}


def test_order_decides_between_layers_of_equal_structure() -> None:
    old = sequential(4, 8, 8, 8, 2, name="a{}", weight="a{}")
    new = sequential(4, 8, 8, 8, 2, name="b{}", weight="b{}")
    assert matched(old, new) == {each.id: each.id for each in old}


def test_a_renamed_layer_is_looked_for_between_its_neighbours_first() -> None:
    """A layer of the same shape was inserted far in front of the one that was renamed."""
    blocks = [layer(n, f"block{n}", "Gemm", n, n + 1) for n in range(1, 6)]
    old = (*blocks[:4], layer(8, "proj", "Gemm", 9, 9), blocks[4])
    new = (blocks[0], layer(7, "extra", "Gemm", 9, 9), *blocks[1:4], layer(8, "out_proj", "Gemm", 9, 9), blocks[4])
    found = matched(old, new)
    assert found["layer-08"] == "layer-08"
    assert "layer-07" not in found.values()


def test_a_layer_that_was_renamed_and_moved_is_still_found() -> None:
    a, b = layer(1, "a", "Gemm", 3, 4), layer(2, "b", "Gemm", 5, 6)
    old = (layer(3, "x", "Gemm", 7, 8), a, b)
    new = (a, b, layer(4, "y", "Gemm", 7, 8))
    assert matched(old, new) == {"layer-01": "layer-01", "layer-02": "layer-02", "layer-03": "layer-04"}


def test_in_a_sequential_with_a_layer_more_structure_wins_over_place() -> None:
    old, new = sequential(4, 64, 10), sequential(4, 64, 64, 10)
    assert matched(old, new) == {"layer-01": "layer-01", "layer-02": "layer-03"}


def test_a_widened_layer_is_the_same_layer() -> None:
    old, new = sequential(4, 64, 64, 10), sequential(4, 64, 128, 10)
    matches = match_layers(old, new)
    assert {each.old.id: each.new.id for each in matches} == IDENTITY
    assert [each.resized for each in matches] == [False, True, True]


def test_what_has_no_counterpart_is_left_alone() -> None:
    assert matched(sequential(4, 8), ()) == {}
    assert matched((), sequential(4, 8)) == {}
    assert matched((layer(1, "a", "Gemm", 3, 3),), (layer(1, "b", "Gemm", 4, 4),)) == {}


def test_a_name_that_is_used_twice_singles_out_nothing() -> None:
    old = (layer(1, "fc", "Gemm", 3, 3), layer(2, "fc", "Gemm", 4, 4))
    new = (layer(1, "fc", "Gemm", 4, 4), layer(2, "fc", "Gemm", 5, 5))
    assert matched(old, new) == {"layer-02": "layer-01"}


def test_no_layer_is_matched_twice() -> None:
    old = (*sequential(4, 8, 8, 8), *sequential(8, 8, 8, 4, name="", weight=""))
    new = (*sequential(8, 8, 8, name="", weight=""), *sequential(4, 8, 8))
    matches = match_layers(old, new)
    assert len({id(each.new) for each in matches}) == len({id(each.old) for each in matches}) == len(matches)


@pytest.mark.parametrize("kinds", [1, 2, 1000])
def test_reports_made_to_be_slow_are_matched_all_the_same(kinds: int) -> None:
    """20,000 layers without names on both sides, in opposite order: what is quadratic would not come back."""
    old = tuple(layer(n, "", "Gemm", 1 + n * 7 % kinds, 3) for n in range(20_000))
    new = (layer(0, "", "Conv", 1, 1), *reversed(old), layer(0, "", "Conv", 1, 1))
    assert len(match_layers(old, new)) == 20_000
