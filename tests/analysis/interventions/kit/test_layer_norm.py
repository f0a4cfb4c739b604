"""LayerNormalization in both ways of writing it, against torch's."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from analysis.interventions.kit.layer_norm import insert_layer_norm
from analysis.interventions.kit.surgery import Editor
from analysis.model.onnx_tools import assemble_proto
from tests.analysis.interventions.builders import operators, parsed


@pytest.mark.parametrize(("opset", "alone"), [(11, False), (16, False), (17, True), (20, True)])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_it_is_torchs_in_every_opset(opset: int, alone: bool, scale: float) -> None:
    """Where values are small the epsilon is felt."""
    model = parsed("h = MatMul(x, A) y = Tanh(h)", {"A": (8, 4)})
    model.proto.opset_import[0].version = opset
    random = np.random.default_rng(0)
    gamma, beta = (random.standard_normal(4).astype(np.float32) for _ in range(2))
    editor = Editor(model)
    names = [editor.add_tensor(name, array) for name, array in (("gamma", gamma), ("beta", beta))]
    output = insert_layer_norm(editor, "h", *names)
    edited = editor.finish()
    assert ("LayerNormalization" in operators(edited)) is alone
    assert edited.nodes[-1].input[0] == output
    x = (scale * random.standard_normal((5, 8))).astype(np.float32)
    content = assemble_proto(edited.proto, dict(edited.weights)).SerializeToString()
    (found,) = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    h = torch.from_numpy(x) @ torch.from_numpy(np.array(model.weights["A"]))
    expected = torch.tanh(F.layer_norm(h, (4,), torch.from_numpy(gamma), torch.from_numpy(beta), eps=1e-5))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
