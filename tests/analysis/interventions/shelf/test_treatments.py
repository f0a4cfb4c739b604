"""Every treatment on every kind of network: what it declares is true, what it must not touch stays."""

import io
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from analysis.convert import convert
from analysis.experiment.export import Destination
from analysis.experiment.replay import draw
from analysis.facts import Effect, Status
from analysis.interventions.contract import NotApplicable
from analysis.interventions.shelf import BY_TOKEN, INTERVENTIONS
from analysis.interventions.treatment import Treatment
from analysis.interventions.variants import cell_of
from analysis.model import CheckedModel, check_model
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import bare, operators, post_norm
from tests.architectures import ARCHITECTURES, build
from tests.gallery import ResidualNetwork, Transformer, export, images, mlp, seeded, tokens, vectors, xavier

REFUSED = {"generator"}
"""By torch's own exporter."""
MODELS = {
    "mlp": (lambda: mlp(4, "Tanh", xavier()), vectors),
    "residual": (lambda: export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16)), lambda: images(64)),
    "batch norm": (
        lambda: export(seeded(ResidualNetwork), torch.zeros(2, 3, 16, 16), keep_batch_norm=True),
        lambda: images(64),
    ),
    "transformer": (lambda: export(seeded(Transformer), torch.zeros(2, 12, dtype=torch.int64)), tokens),
    "post-ln": (post_norm, lambda: None),
    "bare": (bare, lambda: None),
    **{
        name: (lambda name=name: export(*_example(name)), lambda: None) for name in ARCHITECTURES if name not in REFUSED
    },
}
EVERYTHING = (*BY_TOKEN, "selu+group_norm+residual+orthogonal", "standardized+pre_ln+xavier", "zero_ends+xavier")
UNTOUCHED = ("Softmax", "Attention", "MultiHeadAttention", "LSTM", "GRU")


def _example(name: str) -> tuple[torch.nn.Module, torch.Tensor]:
    module, inputs = build(name)
    return module, inputs[0]


def _made(name: str) -> tuple[bytes, bytes | None]:
    build_model, build_batch = MODELS[name]
    return build_model(), build_batch()


@pytest.mark.parametrize("name", MODELS)
def test_every_variant_is_valid_onnx_and_equal_in_onnxruntime_and_torch(name: str, tmp_path: Path) -> None:
    source, batch = _made(name)
    options = AnalysisOptions(effort="quick", variants=("only", *EVERYTHING), batch_size=8)  # type: ignore[arg-type]
    report = analyze(source, batch, options, models=Destination(tmp_path))
    for variant in report.variants:
        assert variant.status is not Status.NOT_APPLICABLE or variant.reason
        if variant.model is None:
            continue
        path = tmp_path / f"{variant.id}.onnx"
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        feeds = _feeds(session, batch)
        theirs = session.run(None, feeds)
        ours = convert(check_model(path))(*(torch.from_numpy(feeds[spec.name]) for spec in session.get_inputs()))
        for mine, other in zip(ours, theirs, strict=True):
            scale = np.abs(other).max(initial=1e-30)
            np.testing.assert_allclose(mine.detach().numpy(), other, rtol=2e-3, atol=2e-4 * scale, err_msg=variant.id)


def _feeds(session: onnxruntime.InferenceSession, batch: bytes | None) -> dict[str, np.ndarray]:
    if batch is not None:
        return {"x": np.load(io.BytesIO(batch))["x"][:16]}
    random = np.random.default_rng(0)
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
    shapes = {spec.name: [n if isinstance(n, int) else 2 for n in spec.shape] for spec in session.get_inputs()}
    return {
        spec.name: (random.standard_normal(shapes[spec.name]) * 3).clip(0, 9).astype(types[spec.type])
        for spec in session.get_inputs()
    }


@pytest.mark.parametrize("name", MODELS)
def test_effects_are_as_declared_and_attention_cells_and_the_upload_stay(name: str) -> None:
    source, batch = _made(name)
    cells = experiment(source, batch)
    unchanged = cells.structures.unchanged.model
    before = unchanged.proto.SerializeToString(deterministic=True)
    inputs, _ = cells.structures.unchanged.tensors()
    with torch.no_grad():
        expected = cells.structures.unchanged.converted.eval()(*inputs)[0]
    for token in BY_TOKEN:
        found = cells.structures.compose(cell_of(token))
        if isinstance(found, NotApplicable):
            assert found.reason
            continue
        recipe, subject = found
        assert unchanged.proto.SerializeToString(deterministic=True) == before
        _check_names_and_untouched(token, unchanged, recipe.model)
        if recipe.effect is Effect.TRAINING_ONLY:
            assert recipe.model is unchanged
            assert not recipe.draws
        if recipe.effect is Effect.PRESERVES_OUTPUT:
            own = {each: w.detach().clone() for each, w in subject.converted.initializers.items()}
            draw(subject, recipe, 0)
            with torch.no_grad():
                torch.testing.assert_close(subject.converted.eval()(*inputs)[0], expected, rtol=1e-3, atol=1e-4)
                for each, values in own.items():
                    subject.converted.initializers[each].copy_(values)


def _check_names_and_untouched(token: str, before: CheckedModel, after: CheckedModel) -> None:
    gone = {node.name for node in before.nodes} - {node.name for node in after.nodes}
    assert not gone or token in {"no_batch_norm", "no_idle_norm", "pre_ln"} or BY_TOKEN[token].factor == "activation", (
        gone
    )
    assert [spec.name for spec in after.outputs] == [spec.name for spec in before.outputs]
    for op in UNTOUCHED:
        assert operators(after).count(op) == operators(before).count(op), (token, op)


@pytest.mark.parametrize("treatment", INTERVENTIONS, ids=lambda treatment: treatment.token)
def test_every_treatment_has_a_page_with_a_source(treatment: Treatment) -> None:
    page = " ".join(treatment.page.split())
    assert "." in page
    assert "Source:" in page
    assert any(word in page for word in ("Changes the", "Training only", "Preserves the"))


def test_tokens_are_unique_and_applied_in_the_order_of_the_factors() -> None:
    assert len({treatment.token for treatment in INTERVENTIONS}) == len(INTERVENTIONS)
