"""A bench to work at, and children that follow scripts."""

from collections.abc import Iterator
from contextlib import closing
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

import service.worker.children
import service.worker.results
from service.jobs.store import Store
from service.settings import Settings
from tests.service.worker import scripted_child
from tests.service.worker.bench import Bench


@pytest.fixture
def scripted_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of children that load torch."""
    monkeypatch.setattr(service.worker.children, "run_child", scripted_child.run_child)
    monkeypatch.setattr(service.worker.results, "named_models", lambda _: {})  # nor write real reports
    monkeypatch.setattr(ForkServerContext, "set_forkserver_preload", lambda *_: None)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    folder = Settings(data_dir=tmp_path / "data").prepare().data_dir
    with closing(Store(Settings(data_dir=folder).database)) as store:
        yield Bench(folder, store)
