"""The unchanged model looked at closely, against closed forms and torch on the original module."""

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from analysis.clock import BUDGET_REACHED, Clock
from analysis.facts import Confidence, Measurement, Parity, ParityStatus, Provenance
from analysis.measure.examine import examine, shatter_cosine
from analysis.measure.per_sample import BATCH_STATISTICS
from analysis.model import check_model
from analysis.options import AnalysisOptions
from analysis.subject.preparation import prepare
from analysis.subject.subject import Subject
from tests.analysis.measure.builders import chain, subject_of
from tests.gallery import CLASSES, INPUTS, Transformer, export, he, mlp, npz, seeded, tokens, vectors, xavier

EQUAL = Parity(reference="onnxruntime", status=ParityStatus.EQUAL)
VECTOR = torch.zeros(2, INPUTS)


def examined(
    model: bytes, batch: bytes | None, parity: Parity = EQUAL, **options: Any
) -> tuple[Subject, Subject, Measurement]:
    """Before, after, and what was seen."""
    chosen = AnalysisOptions(**options)
    before = prepare(check_model(model), batch, chosen)
    return before, *examine(before, parity, chosen)


# ------------------------------------------------------------------ precision


def test_gradients_that_leave_float32_are_those_of_the_closed_form_in_float64() -> None:
    x = np.linspace(1, 2, 16, dtype=np.float32)[:, None]
    target = np.random.default_rng(0).standard_normal((16, 1)).astype(np.float32)
    weights = [1.0, *[1e-8] * 5, 1.0]
    before, after, seen = examined(chain(*weights), npz(x=x, target=target))
    assert (before.precision, after.precision) == (torch.float32, torch.float64)
    scale = target.astype(np.float64).var()
    slope = 2 * (math.prod(weights) * x - target).astype(np.float64) / scale / len(x)  # dL/dy
    small = [float(np.float32(weight)) for weight in weights]
    for place, stats in enumerate(seen.stats):
        others = math.prod(small[:place] + small[place + 1 :])
        assert stats.weight_gradient is not None
        assert stats.weight_gradient.norm == pytest.approx(abs(float((slope * x).sum())) * others, rel=1e-5)
    assert seen.flow.decades_rms == pytest.approx(5 * math.log10(1e-8) - math.log10(target.std()), rel=1e-5)
    assert seen.stats[0].weight_gradient.norm < 1e-38


def test_the_model_goes_on_as_it_is_where_float32_suffices() -> None:
    before, after, _ = examined(mlp(6, "Relu", he()), vectors())
    assert after is before


class Closed(nn.Module):
    """Residual blocks, the head, or both start at zero."""

    def __init__(self, *, blocks: bool, head: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(INPUTS, 16), nn.Linear(16, CLASSES)
        self.inner, self.end = nn.Linear(16, 16), nn.Linear(16, 16)
        for closed, layer in ((blocks, self.end), (head, self.head)):
            if closed:
                nn.init.zeros_(layer.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        return self.head(x + self.end(torch.relu(self.inner(x))))


@pytest.mark.parametrize(("blocks", "head"), [(True, False), (False, True)])
def test_zeros_that_hold_a_gradient_back_are_no_underflow(blocks: bool, head: bool) -> None:
    model = export(seeded(lambda: Closed(blocks=blocks, head=head)), VECTOR)
    before, after, seen = examined(model, vectors())
    assert any(stats.weight_gradient is not None and stats.weight_gradient.max_abs == 0 for stats in seen.stats)
    assert after is before


def test_what_vanishes_in_front_of_a_head_of_zeros_is_seen_in_float64() -> None:
    def build() -> nn.Module:
        layers = [layer for _ in range(60) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
        module = nn.Sequential(nn.Linear(INPUTS, 16), *layers, nn.Linear(16, CLASSES))
        nn.init.zeros_(module[-1].weight)
        return module

    _, after, seen = examined(export(seeded(build), VECTOR), vectors())
    assert after.precision is torch.float64
    assert seen.flow.decades_rms is not None
    assert -90 < seen.flow.decades_rms < -38


# ------------------------------------------------------------------ what confidence there can be


def test_a_made_up_batch_is_said_to_be_and_is_examined_all_the_same() -> None:
    before, _, seen = examined(mlp(4, "Tanh", xavier()), None, batch_size=24)
    assert before.batch.provenance is Provenance.SYNTHETIC
    assert (seen.batch.size, seen.batch.provenance) == (24, Provenance.SYNTHETIC)
    assert seen.confidence_cap is Confidence.MEDIUM
    assert seen.cap_reasons == ("inputs are synthetic", "targets are synthetic")
    assert all(stats.weight_gradient is not None and stats.weight_gradient.norm > 0 for stats in seen.stats)


def test_without_a_second_opinion_confidence_is_medium_and_says_why() -> None:
    unknown = Parity(reference="", status=ParityStatus.UNAVAILABLE, detail="onnxruntime does not run it")
    _, _, seen = examined(mlp(4, "Relu", he()), vectors(), unknown)
    assert seen.parity == unknown
    assert (seen.confidence_cap, seen.cap_reasons) == (Confidence.MEDIUM, ("onnxruntime does not run it",))
    _, _, seen = examined(mlp(4, "Relu", he()), vectors())
    assert (seen.parity, seen.confidence_cap) == (EQUAL, Confidence.HIGH)


def test_a_learning_rate_scales_the_update_ratio() -> None:
    plain, scaled = (examined(mlp(4, "Relu", he()), vectors(), learning_rate=rate)[2] for rate in (None, 0.01))
    for one, other in zip(plain.stats, scaled.stats, strict=True):
        assert other.update_ratio == pytest.approx(0.01 * one.update_ratio)


# ------------------------------------------------------------------ effort


@pytest.mark.parametrize("effort", ["quick", "standard"])
def test_what_only_effort_thorough_measures_is_absent_and_says_so(effort: str) -> None:
    _, _, seen = examined(mlp(4, "Relu", he()), vectors(), effort=effort)
    assert seen.sample_gradients is None
    assert seen.flow.shatter_cosine is None
    assert all(stats.activation.effective_rank is None for stats in seen.stats)
    names = ("sample_gradients", "shatter_cosine", "effective_rank")
    assert {name: seen.absent[name] for name in names} == dict.fromkeys(names, "measured at effort thorough")


class Perceptron(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(INPUTS, 16), nn.Tanh(), nn.Linear(16, CLASSES))


def test_effort_thorough_looks_at_single_samples_and_ranks_as_torch_does() -> None:
    module = seeded(Perceptron)
    _, _, seen = examined(export(module, VECTOR), vectors(32), effort="thorough")
    batch = np.load(io.BytesIO(vectors(32)))
    x, target = torch.from_numpy(batch["x"]), torch.from_numpy(batch["target"])
    norms = []
    for sample, label in zip(x.split(1), target.split(1), strict=True):
        loss = nn.functional.cross_entropy(module(sample), label)
        norms.append(
            float(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))]).norm())
        )
    assert seen.sample_gradients is not None
    assert seen.sample_gradients.samples == 32
    assert seen.sample_gradients.least_norm == pytest.approx(min(norms), rel=1e-4)
    assert seen.sample_gradients.median_norm == pytest.approx(np.median(norms), rel=1e-4)
    assert seen.sample_gradients.largest_norm == pytest.approx(max(norms), rel=1e-4)
    hidden = module[0](x).detach().double().numpy()
    shares = np.linalg.eigvalsh(hidden.T @ hidden)
    shares = shares[shares > 0] / shares[shares > 0].sum()
    assert seen.stats[0].activation.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-3)
    assert seen.stats[0].activation.rank_limit == 16
    assert not {"sample_gradients", "shatter_cosine", "effective_rank"} & seen.absent.keys()


def test_batch_statistics_leave_single_samples_without_gradients_of_their_own() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))

    model = export(seeded(build), torch.zeros(2, 8), keep_batch_norm=True)
    for samples, together in ((16, False), (64, True)):
        x = np.random.default_rng(0).standard_normal((samples, 8)).astype(np.float32)
        _, _, seen = examined(model, npz(x=x, target=np.arange(samples) % 4), effort="thorough")
        assert seen.batch_statistics is together
        assert (seen.sample_gradients is None) is together
        assert (seen.absent.get("sample_gradients") == BATCH_STATISTICS) is together
        assert seen.flow.shatter_cosine is not None


def test_running_statistics_stay_as_they_are() -> None:
    model = export(
        seeded(lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))), torch.zeros(2, 8),
        keep_batch_norm=True,
    )  # fmt: skip
    x = 3 + np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    before, _, _ = examined(model, npz(x=x, target=np.arange(64) % 4), effort="thorough")
    inputs, _ = before.tensors()
    with torch.no_grad():
        after = before.converted.eval()(*inputs)[0]
    fresh = prepare(check_model(model), npz(x=x, target=np.arange(64) % 4), AnalysisOptions())
    with torch.no_grad():
        assert torch.equal(fresh.converted.eval()(*inputs)[0], after)


# ------------------------------------------------------------------ smoothness in the input


def cosine(model: bytes, batch: bytes | None, seed: int = 0) -> float | str:
    subject = prepare(check_model(model), batch, AnalysisOptions())
    return shatter_cosine(subject, batch_statistics=False, seed=seed)


def test_the_gradient_of_a_linear_network_is_the_same_everywhere() -> None:
    assert cosine(mlp(5, "Identity", xavier()), vectors()) == pytest.approx(1.0, abs=1e-6)


def test_a_deep_network_of_relus_is_shattered_and_skip_paths_keep_it_smooth() -> None:
    """Balduzzi et al. 2017, figure 1."""

    class Skipping(nn.Module):
        def __init__(self, depth: int = 40, *, skip: bool) -> None:
            super().__init__()
            self.first, self.last, self.skip = nn.Linear(INPUTS, 32), nn.Linear(32, CLASSES), skip
            self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
            for layer in self.layers:
                nn.init.kaiming_normal_(layer.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x)
            for layer in self.layers:
                x = (
                    torch.sqrt(torch.tensor(0.9)) * x + 0.3 * layer(torch.relu(x))
                    if self.skip
                    else layer(torch.relu(x))
                )
            return self.last(x)

    def of(build: Callable[[], nn.Module]) -> float:
        found = cosine(export(seeded(build), VECTOR), vectors(64))
        assert isinstance(found, float)
        return found

    plain, skipping = of(lambda: Skipping(skip=False)), of(lambda: Skipping(skip=True))
    assert plain < 0.6
    assert skipping > 0.8


def test_tokens_have_no_gradient_to_be_smooth() -> None:
    model = export(seeded(lambda: Transformer(blocks=1)), torch.zeros(2, 12, dtype=torch.int64))
    assert cosine(model, tokens(16)) == "the trunk does not begin at an input"


def test_gradients_that_underflow_in_float32_are_measured_in_float64() -> None:
    subject = subject_of(mlp(60, "Sigmoid", xavier(), width=16), vectors())
    assert subject.precision is torch.float32
    wide, result = examine(subject, EQUAL, AnalysisOptions())
    assert wide.precision is torch.float64
    assert result.flow.decades_rms is not None
    assert -60 < result.flow.decades_rms < -35
    assert all(stats.weight_gradient is not None and stats.weight_gradient.norm > 0 for stats in result.stats)


# ------------------------------------------------------------------ when the budget ends


def over() -> Clock:
    return Clock(0.0, None)


def test_the_first_measurement_is_made_though_the_budget_is_spent() -> None:
    chosen = AnalysisOptions(effort="quick")  # type: ignore[arg-type]
    subject = prepare(check_model(mlp(3, "Relu", he())), vectors(), chosen)
    clock = over()
    same, seen = examine(subject, EQUAL, chosen, clock)
    assert same is subject
    assert seen == examine(subject, EQUAL, chosen)[1]
    assert clock.left_out == []


def test_a_measurement_in_float64_is_left_out_where_the_budget_ends() -> None:
    chosen, clock = AnalysisOptions(), over()
    model = chain(1.0, *[1e-8] * 5, 1.0)
    batch = npz(x=np.ones((16, 1), np.float32), target=np.arange(16, dtype=np.float32)[:, None])
    subject, seen = examine(prepare(check_model(model), batch, chosen), EQUAL, chosen, clock)
    assert subject.precision is torch.float32
    assert seen.stats[0].weight_gradient is not None
    assert clock.left_out == [("measurement in float64", BUDGET_REACHED)]
    assert subject.converted.interrupt is None


def test_what_only_effort_thorough_measures_is_left_out_by_name_where_the_budget_ends() -> None:
    chosen, clock = AnalysisOptions(effort="thorough"), over()  # type: ignore[arg-type]
    _, seen = examine(prepare(check_model(mlp(3, "Relu", he())), vectors(), chosen), EQUAL, chosen, clock)
    assert seen.sample_gradients is None
    assert seen.flow.shatter_cosine is None
    assert {seen.absent[name] for name in ("sample_gradients", "shatter_cosine")} == {BUDGET_REACHED}
    assert [why for _, why in clock.left_out] == [BUDGET_REACHED] * 2
