"""Modules sent to the real application."""

import asyncio
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from analysis.model import check_model
from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.report import Report
from gradient_health import AsyncClient, Client, ModuleReport
from gradient_health.module import exported
from service.app import create_app
from service.settings import Settings
from tests.gradient_health.repairs import X as NOISE
from tests.gradient_health.repairs import by_onnxruntime
from tests.gradient_health.small_modules import chain
from tests.service.application import Service
from tests.service.server.live import live

X, Y = torch.linspace(-1, 1, 64 * 16).reshape(64, 16), torch.arange(64) % 4


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    app = create_app(Settings(data_dir=tmp_path / "data"))
    yield Service(app)
    app.state.parts.store.close()


@pytest.fixture
def url(service: Service) -> Iterator[str]:
    with live(service.app, service.parts.settings, service.parts.drain) as server:
        yield f"http://127.0.0.1:{server.address[1]}"


@pytest.fixture(scope="module")
def report() -> Report:
    from gradient_health import analyze_module  # noqa: PLC0415 - as its users do

    return analyze_module(chain(2, nn.ReLU), X, Y, options={"effort": "quick"}).report


def test_a_module_is_sent_as_an_export_a_batch_and_options(service: Service, url: str) -> None:
    with Client(url) as client:
        job = client.submit_module(chain(2, nn.ReLU), X, Y, loss=nn.CrossEntropyLoss(), labels={"project": "p"})
    question = service.claim().question
    assert question.model_name == "Sequential.onnx"
    assert parse_options(question.options).loss == "cross_entropy"
    assert job.labels == {"project": "p"}
    batch = np.load(io.BytesIO(service.parts.objects.get(question.batch_sha256 or "")))
    np.testing.assert_array_equal(batch["target"], Y.numpy())
    model = check_model(service.parts.objects.get(question.model_sha256))
    assert set(model.weights) == {name for name, _ in chain(2, nn.ReLU).named_parameters()}


def test_a_module_is_waited_for_either_way(service: Service, url: str, report: Report) -> None:
    async def ask() -> ModuleReport:
        async with AsyncClient(url) as client:
            submitted = await client.submit_module(chain(2, nn.ReLU), X, Y)
            await client.cancel(submitted.id)
            with service.worker(report):
                return await client.analyze_module(chain(2, nn.ReLU), X, Y, options={"effort": "quick"})

    with service.worker(report), Client(url) as client:
        found = client.analyze_module(chain(2, nn.ReLU), X, Y, options={"effort": "quick"})
    assert found.verdict is asyncio.run(ask()).verdict is report.verdict


def test_the_one_change_is_fetched_and_is_one_of_the_module(service: Service, url: str, tmp_path: Path) -> None:
    module, models = chain(6, nn.Sigmoid), tmp_path / "models"
    with exported(module, NOISE, Y) as files:
        report = analyze(*files, models_dir=models)
    best = report.remedies[0].variant
    for path in models.iterdir():
        service.parts.objects.put(path.read_bytes())

    async def ask() -> ModuleReport:
        async with AsyncClient(url) as client:
            return await client.analyze_module(module, NOISE, Y, options={"seed": 1})

    with service.worker(report), Client(url) as client:
        found = client.analyze_module(module, NOISE, Y, models=tmp_path / "fetched")
    with service.worker(report):
        other = asyncio.run(ask())
    expected = by_onnxruntime(models / f"{best}.onnx", NOISE)
    for each in (found, other):
        assert each.diff.startswith(f"--- Sequential\n+++ Sequential, {best}\n")
        torch.testing.assert_close(each.repaired(module).eval()(NOISE), expected, rtol=1e-4, atol=1e-5)
    assert best in {path.stem for path in (tmp_path / "fetched").iterdir()}


def test_a_client_needs_no_torch_until_it_has_a_module() -> None:
    code = "import sys; from gradient_health import Client; Client('http://localhost'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
