"""From PyTorch in two lines, here and on a server."""

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

import gradient_health.client
import gradient_health.module
from analysis.errors import BadOptions, Unsupported
from analysis.options import AnalysisOptions
from analysis.pipeline import analyze
from analysis.report import Report
from gradient_health import analyze_module
from tests.gradient_health.small_modules import Residual, chain

X, Y = torch.randn(64, 16, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 4
QUICK = {"effort": "quick"}


def test_a_sick_module_is_told_by_the_names_of_its_own_layers() -> None:
    found = analyze_module(chain(14, nn.Sigmoid), X, Y, loss=nn.CrossEntropyLoss(), options=QUICK)
    assert found.verdict == "unhealthy"
    assert [layer.name for layer in found.report.layers] == [str(place) for place in range(0, 29, 2)]
    assert found.report.loss.name == "cross_entropy"
    assert found.report.model.name == "Sequential.onnx"


def test_batch_norm_is_measured_as_it_trains() -> None:
    x = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = analyze_module(Residual(), x, torch.arange(32) % 4, options=QUICK).report
    assert "GH905" not in {finding.rule for finding in found.findings}
    assert {"stem.1", "blocks.0.1"} <= {layer.name for layer in found.layers}


@pytest.mark.parametrize(
    ("loss", "targets", "name"),
    [
        (nn.CrossEntropyLoss(), Y, "cross_entropy"),
        (F.cross_entropy, Y, "cross_entropy"),
        (nn.MSELoss(), torch.ones(64, 4).cumsum(0), "mse"),
        (F.mse_loss, torch.ones(64, 4).cumsum(0), "mse"),
        (nn.BCEWithLogitsLoss(), (torch.arange(256).reshape(64, 4) % 2).float(), "bce"),
        ("mse", torch.ones(64, 4).cumsum(0), "mse"),
        (None, Y, "cross_entropy"),
    ],
)
def test_losses_of_torch_are_known(loss: Any, targets: torch.Tensor, name: str) -> None:
    assert analyze_module(chain(2, nn.ReLU), X, targets, loss=loss, options=QUICK).report.loss.name == name


def test_a_loss_that_is_unknown_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(BadOptions, match="HuberLoss is no loss that is known") as caught:
        analyze_module(chain(2, nn.ReLU), X, Y, loss=nn.HuberLoss())
    assert "CrossEntropyLoss" in caught.value.hint


@pytest.mark.parametrize(
    ("optimizer", "name"), [(torch.optim.SGD, "sgd"), (torch.optim.Adam, "adam"), (torch.optim.AdamW, "adam")]
)
def test_the_optimiser_is_tried_at_its_own_rate(optimizer: Callable[..., Any], name: str) -> None:
    module = chain(2, nn.ReLU)
    found = analyze_module(module, X, Y, optimizer=optimizer(module.parameters(), lr=0.02)).report
    assert found.options is not None
    assert (found.options["optimizer"], found.options["learning_rate"]) == (name, 0.02)
    (baseline, *_) = found.variants
    assert baseline.probe is not None
    assert (name, 0.02) in {(run.optimizer, run.learning_rate) for run in baseline.probe.runs}


@pytest.mark.parametrize("fails", [False, True])
def test_torch_computes_on_one_thread_meanwhile_and_on_its_own_again(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def note(*arguments: Any, **named: Any) -> Report:
        seen.append(torch.get_num_threads())
        if fails:
            raise Unsupported("of no interest")
        return analyze(*arguments, **named)

    monkeypatch.setattr(gradient_health.module, "analyze", note)
    own = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(Unsupported) if fails else nullcontext():
            analyze_module(chain(2, nn.ReLU), X, Y, options=QUICK)
        assert (seen, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(own)


def test_options_may_be_given_either_way_and_repaired_models_are_written(tmp_path: Path) -> None:
    options = AnalysisOptions(effort="quick", seed=3)
    found = analyze_module(chain(2, nn.ReLU), X, Y, options=options, models_dir=tmp_path).report
    assert found.options == {"effort": "quick", "seed": 3}
    assert (tmp_path / "baseline.onnx").exists()


def test_a_server_is_sent_the_export_the_batch_and_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    class Server(gradient_health.client.Client):
        def analyze(self, model: Path, batch: Path, options: AnalysisOptions, **how: object) -> Report:
            assert self._http.base_url == "http://127.0.0.1:1"
            assert how == {"models": Path("models"), "progress": None}
            return analyze(model, batch, options)

    module = chain(2, nn.ReLU)
    here = analyze_module(module, X, Y, options=QUICK).report
    monkeypatch.setattr(gradient_health.module, "Client", Server)
    there = analyze_module(module, X, Y, options=QUICK, server="http://127.0.0.1:1", models_dir=Path("models")).report
    assert (there.id, there.gradient_flow) == (here.id, here.gradient_flow)


def test_the_one_change_is_one_of_the_module() -> None:
    module = chain(6, nn.Sigmoid)
    found = analyze_module(module, X, Y, loss=nn.CrossEntropyLoss())
    best = found.report.remedies[0].variant
    assert found.diff.startswith(f"--- Sequential\n+++ Sequential, {best}\n")
    assert "-  (1): Sigmoid()" in found.diff.splitlines()
    repaired = found.repaired(module)
    after = [line[1:] for line in found.diff.splitlines() if line[0] in " +" and not line.startswith("+++")]
    assert "\n".join(after).startswith(repr(repaired))
    assert found.repair is not None
    assert found.repair.model.exists()
    assert all(variant.model is None for variant in found.report.variants)
    folder = found.repair.model.parent
    del found
    assert not folder.exists()


def test_a_module_without_a_change_has_no_diff_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = analyze_module(chain(2, nn.ReLU), X, Y, options=QUICK)
    assert (found.diff, list(tmp_path.iterdir())) == ("", [])
    with pytest.raises(Unsupported, match="tells of no change to make: healthy"):
        found.repaired(chain(2, nn.ReLU))
    with pytest.raises(BadOptions):
        analyze_module(chain(2, nn.ReLU), X, Y, options={"variants": ["wine"]})
    assert list(tmp_path.iterdir()) == []
