import torch
from torch import nn

from tests.analysis.interventions.builders import Bare, bare, composed, operators, refused
from tests.gallery import Recurrent, export, mlp, seeded, sequences, vectors, xavier


def test_pairs_of_layers_get_a_way_around_them() -> None:
    recipe, subject = composed("residual", mlp(6, "Tanh", xavier()), vectors())
    inputs, _ = subject.tensors()
    weights = subject.converted.initializers
    with torch.no_grad():
        mine = subject.converted.eval()(*inputs)[0]
        hidden = [torch.tanh(nn.functional.linear(inputs[0], weights["w0"], weights["b0"]))]
        for layer in range(1, 5):
            hidden.append(torch.tanh(nn.functional.linear(hidden[-1], weights[f"w{layer}"], weights[f"b{layer}"])))
            if layer % 2 == 0:
                hidden[-1] = hidden[-1] + hidden[layer - 2]
        expected = nn.functional.linear(hidden[-1], weights["w5"], weights["b5"])
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)
    assert "2 blocks" in recipe.words


def test_attention_and_feed_forward_without_skip_paths_each_become_a_block() -> None:
    module = seeded(Bare)
    recipe, subject = composed("residual", bare())
    inputs, _ = subject.tensors()
    with torch.no_grad():
        x = module.enter(inputs[0])  # type: ignore[operator]
        scores = torch.softmax(module.query(x) @ module.key(x).transpose(1, 2) / 4, -1)  # type: ignore[operator]
        x = x + module.out(scores @ module.value(x))  # type: ignore[operator]
        x = x + module.narrow(torch.relu(module.wide(x)))  # type: ignore[operator]
        expected = module.head(x.mean(1))  # type: ignore[operator]
        torch.testing.assert_close(subject.converted.eval()(*inputs)[0], expected, rtol=1e-4, atol=1e-5)
    assert operators(recipe.model).count("Softmax") == 1


def test_widths_that_change_are_not_wrapped() -> None:
    assert "no block" in refused("residual", mlp(0, "Tanh", xavier(), sizes=[32, 48, 24, 12, 10]), vectors())


def test_recurrent_cells_are_left_alone() -> None:
    recurrent = export(seeded(Recurrent), torch.zeros(2, 20, 8))
    assert "no block" in refused("residual", recurrent, sequences())
