import io
import math

import numpy as np
import onnx
import pytest
import torch

from tests.analysis.interventions.builders import Bare, applied, drawn, outputs, post_norm, refused
from tests.gallery import ResidualNetwork, Transformer, export, images, seeded, tokens


def transformer() -> bytes:
    return export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64))


def test_a_transformer_with_zero_ends_is_its_embedding_and_its_head() -> None:
    module = seeded(Transformer)
    mine = outputs("zero_ends", transformer(), tokens())
    with torch.no_grad():
        ids = torch.from_numpy(np.load(io.BytesIO(tokens()))["x"])
        expected = module.head(module.norm(module.tokens(ids) + module.positions).mean(1))  # type: ignore[operator]
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


def test_six_branches_are_scaled_by_the_root_of_their_number() -> None:
    module = seeded(Transformer)
    weights = drawn("scaled_ends", transformer(), tokens())
    scaled = [
        name
        for name, values in weights.items()
        for block in module.blocks  # type: ignore[union-attr]
        if values.shape == block.down.weight.T.shape
        and np.allclose(values, block.down.weight.T.detach() / math.sqrt(6), atol=1e-7)
    ]
    assert len(scaled) == 3
    assert "6 residual branches" in applied("scaled_ends", transformer(), tokens()).words


@pytest.mark.parametrize("keep", [True, False])
def test_branches_of_a_residual_network_vanish(keep: bool) -> None:
    module = seeded(ResidualNetwork).eval()
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    mine = outputs("zero_ends", export(module, torch.zeros(2, 3, 16, 16), keep_batch_norm=keep), images())
    with torch.no_grad():
        x = torch.from_numpy(np.load(io.BytesIO(images()))["x"])
        expected = module.head(module.stem(x).mean((2, 3)))  # type: ignore[operator]
    torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-4)


def test_an_initialisation_comes_first_and_the_ends_are_shrunk_after_it() -> None:
    before = drawn("xavier", transformer(), tokens())
    zero, scaled = (drawn(f"xavier+{token}", transformer(), tokens()) for token in ("zero_ends", "scaled_ends"))
    changed = [name for name in before if not np.array_equal(before[name], zero[name])]
    assert changed
    for name in changed:
        assert not zero[name].any()
        np.testing.assert_allclose(scaled[name], before[name] / math.sqrt(6), rtol=1e-5)


def test_it_says_why_it_does_not_apply() -> None:
    exported = export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True)
    assert applied("zero_ends", exported, images()).draws, "equal scales are separate ones again"
    shared = onnx.load_from_string(exported)
    shared.producer_name = "another exporter, whose Identities may be ties"
    assert "share their weights" in refused("zero_ends", shared.SerializeToString(), images())
    assert "no residual branch" in refused("zero_ends", export(seeded(Bare), torch.zeros(2, 6, 8)))
    assert applied("zero_ends", post_norm()).draws
