import onnx
import torch
from torch import nn

from analysis.model import check_model
from tests.analysis.interventions.builders import PostNorm, composed, operators, post_norm, refused
from tests.gallery import Transformer, export, mlp, seeded, tokens, xavier


def test_post_ln_becomes_torchs_norm_first_with_a_final_norm() -> None:
    module = seeded(PostNorm)
    recipe, subject = composed("pre_ln", post_norm())
    inputs, _ = subject.tensors()
    with torch.no_grad():
        mine = subject.converted.eval()(*inputs)[0]
        for block in module.blocks:  # type: ignore[union-attr]
            block.norm_first = True
        x = module.blocks(module.enter(inputs[0]))  # type: ignore[operator]
        expected = module.head(nn.functional.layer_norm(x, (16,)).mean(1))  # type: ignore[operator]
    torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)
    assert "6 residual branches" in recipe.words


def test_hidden_states_that_are_results_too_stay_results() -> None:
    model = onnx.load_from_string(post_norm())
    states = [node.output[0] for node in model.graph.node if node.op_type == "LayerNormalization"]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, 1, ["N", 6, 16]) for name in states)
    _, subject = composed("pre_ln", model.SerializeToString())
    _, plain = composed("pre_ln", post_norm())
    inputs, _ = subject.tensors()
    with torch.no_grad():
        logits, *hidden = subject.converted.eval()(*inputs)
        expected = plain.converted.eval()(*inputs)[0]
    torch.testing.assert_close(logits, expected)
    last = hidden[-1]
    torch.testing.assert_close(last, nn.functional.layer_norm(last, (16,)), rtol=1e-3, atol=1e-3)
    assert len(hidden) == len(states)


def test_one_norm_more_and_no_layer_lost() -> None:
    recipe, _ = composed("pre_ln", post_norm())
    before = operators(check_model(post_norm()))
    assert operators(recipe.model).count("LayerNormalization") == before.count("LayerNormalization") + 1
    assert operators(recipe.model).count("MatMul") == before.count("MatMul")


def test_it_says_why_it_does_not_apply() -> None:
    pre_ln = export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64))
    assert "no LayerNormalization follows" in refused("pre_ln", pre_ln, tokens())
    assert "no LayerNormalization follows" in refused("pre_ln", mlp(3, "Tanh", xavier()))
