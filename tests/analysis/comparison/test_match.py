"""Which layer is which: networks written down by hand, as two exporters or two authors would write them."""

from itertools import pairwise

import pytest

from analysis.comparison.excerpt import LayerExcerpt, TensorExcerpt
from analysis.comparison.match import MatchedBy, _aligned, match_layers


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
    assert {each.by for each in matches} == {MatchedBy.NAME}


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


def test_layers_without_names_are_never_matched_by_name() -> None:
    """Though a single one would be the only one without."""
    alone = (layer(1, "", "Gemm", 3, 3),)
    assert signs(alone, alone) == ["structure"]


def test_node_and_weights_together_tell_apart_what_neither_does_alone() -> None:
    """One weight in two nodes, one name for two nodes; the second time in another order."""
    old = tuple(layer(n, node, "Gemm", 3, 3, weight=weight) for n, (node, weight) in enumerate(("aw", "bw", "av"), 1))
    new = tuple(each.model_copy(update={"id": f"layer-{n:02d}"}) for n, each in enumerate(reversed(old), 1))
    assert matched(old, new) == {"layer-01": "layer-03", "layer-02": "layer-02", "layer-03": "layer-01"}
    assert signs(old, new) == ["name"] * 3


def test_a_node_whose_name_is_used_twice_is_not_known_by_it_because_its_weight_has_none() -> None:
    network = (layer(1, "a", "Gemm", 3, 3), layer(2, "a", "Gemm", 3, 3, weight="w"))
    assert signs(network, network) == ["structure", "name"]


def test_matches_stand_in_the_order_of_the_old_report_whatever_was_found_first() -> None:
    old = (layer(1, "x", "Gemm", 3, 3), layer(2, "a", "Gemm", 4, 4), layer(3, "b", "Gemm", 5, 5))
    new = (layer(1, "y", "Gemm", 3, 3), layer(2, "b", "Gemm", 5, 5), layer(3, "a", "Gemm", 4, 4))
    assert [each.old.id for each in match_layers(old, new)] == ["layer-01", "layer-02", "layer-03"]
    assert signs(old, new) == ["structure", "name", "name"]


def test_the_order_in_which_a_report_tells_parameters_does_not_matter() -> None:
    (here,) = (layer(1, "a", "Gemm", 3, 4),)
    there = here.model_copy(update={"name": "b", "parameters": dict(reversed(here.parameters.items()))})
    (match,) = match_layers((here,), (there,))
    assert (match.by, match.resized) == (MatchedBy.STRUCTURE, False)


def test_a_bias_lends_a_layer_no_name() -> None:
    here = layer(1, "a", "Gemm", 3, 3, weight="w")
    bias = {"bias": TensorExcerpt(initializer="another", shape=(3,))}
    there = here.model_copy(update={"name": "b", "parameters": {**here.parameters, **bias}})
    assert signs((here,), (there,)) == ["name"]
    nameless = {
        "weight": TensorExcerpt(initializer="", shape=(3, 3)),
        "bias": TensorExcerpt(initializer="x", shape=(3,)),
    }
    one, other = (here.model_copy(update={"name": name, "parameters": nameless}) for name in "ab")
    assert signs((one,), (other,)) == ["structure"]


def test_axes_of_size_one_count_in_kernels_and_not_in_vectors() -> None:
    def conv(name: str, *shape: int) -> tuple[LayerExcerpt, ...]:
        return (layer(1, name, "Conv", *shape, bias=False),)

    def scale(name: str, *shape: int) -> tuple[LayerExcerpt, ...]:
        parameters = {"scale": TensorExcerpt(initializer="", shape=shape)}
        return (LayerExcerpt(id="layer-01", name=name, op="BatchNormalization", parameters=parameters),)

    assert matched(conv("a", 8, 4, 1, 1), conv("b", 8, 4, 1)) == {}
    assert matched(scale("a", 8), scale("b", 1, 8, 1)) == {"layer-01": "layer-01"}
    assert matched(scale("a", 8), scale("b", 16)) == {}


def test_a_kernel_is_not_seen_through_transposition_and_a_matrix_is() -> None:
    for op, expected in (("Conv", {}), ("Gemm", {"layer-01": "layer-01"}), ("FusedMatMul", {"layer-01": "layer-01"})):
        old, new = layer(1, "a", op, 8, 4, bias=False), layer(1, "b", op, 4, 8, bias=False)
        assert matched((old,), (new,)) == expected


def test_a_layer_that_was_renamed_and_moved_to_the_front_is_still_found() -> None:
    a, b = layer(1, "a", "Gemm", 3, 4), layer(2, "b", "Gemm", 5, 6)
    old, new = (a, b, layer(3, "x", "Gemm", 7, 8)), (layer(4, "y", "Gemm", 7, 8), a, b)
    assert matched(old, new) == {"layer-01": "layer-01", "layer-02": "layer-02", "layer-03": "layer-04"}


def test_behind_the_first_layer_is_another_place_than_before_it() -> None:
    a = layer(1, "a", "Gemm", 3, 4)
    old = (a, layer(2, "proj", "Gemm", 9, 9))
    new = (layer(3, "extra", "Gemm", 9, 9), a, layer(4, "out_proj", "Gemm", 9, 9))
    assert matched(old, new) == {"layer-01": "layer-01", "layer-02": "layer-04"}


@pytest.mark.parametrize("most_cells", [0, 1_000_000])
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "ab", []),
        ("abc", "abc", [(0, 0), (1, 1), (2, 2)]),
        ("abxcd", "abyzxcd", [(0, 0), (1, 1), (2, 4), (3, 5), (4, 6)]),  # between equal ends, behind something new
        ("abyzxcd", "abxcd", [(0, 0), (1, 1), (4, 2), (5, 3), (6, 4)]),
        ("xab", "aby", [(1, 0), (2, 1)]),
        ("aab", "ab", [(0, 0), (2, 1)]),
        ("axbxc", "axxc", [(0, 0), (1, 1), (3, 2), (4, 3)]),
        ("hpxxqt", "hxrxt", [(0, 0), (2, 1), (3, 3), (5, 4)]),
        ("axc", "acxc", [(0, 0), (1, 2), (2, 3)]),
        ("acxc", "axc", [(0, 0), (2, 1), (3, 2)]),
        ("hrq", "hqsq", [(0, 0), (2, 3)]),  # an equal end before an earlier place
        ("hrxq", "hxsxq", [(0, 0), (2, 3), (3, 4)]),
        ("hxsxq", "hrxq", [(0, 0), (3, 2), (4, 3)]),
        ("ab", "cd", []),
    ],
)
def test_equal_items_are_aligned_in_order_whether_there_are_few_or_many(
    old: str, new: str, expected: list[tuple[int, int]], most_cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.comparison.match.MOST_CELLS", most_cells)
    assert sorted(_aligned(old, new)) == expected


def test_many_items_are_paired_by_how_many_like_them_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.comparison.match.MOST_CELLS", 0)
    assert sorted(_aligned("hxxyt", "hyxxt")) == [(0, 0), (1, 2), (2, 3), (3, 1), (4, 4)]
    assert sorted(_aligned("pxxxq", "rxxxs")) == [(1, 1), (2, 2), (3, 3)]


def test_few_items_are_aligned_by_their_longest_common_run_and_none_is_too_common() -> None:
    assert sorted(_aligned("hxxyt", "hyxxt")) == [(0, 0), (1, 2), (2, 3), (4, 4)]
    assert len(list(_aligned("p" + "a" * 250 + "q", "r" + "a" * 250 + "s"))) == 250


@pytest.mark.parametrize("kinds", [1, 2, 1000])
def test_reports_made_to_be_slow_are_matched_all_the_same(kinds: int) -> None:
    """20,000 layers without names on both sides, in opposite order: what is quadratic would not come back."""
    old = tuple(layer(n, "", "Gemm", 1 + n * 7 % kinds, 3) for n in range(20_000))
    new = (layer(0, "", "Conv", 1, 1), *reversed(old), layer(0, "", "Conv", 1, 1))
    assert len(match_layers(old, new)) == 20_000
