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
from service.worker.results import Said
from tests.service.worker import scripted_child
from tests.service.worker.bench import Bench


@pytest.fixture
def scripted_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of children that load torch."""
    monkeypatch.setattr(service.worker.children, "run_child", scripted_child.run_child)
    whole = Said({}, is_whole=True)  # they write no real reports, either
    monkeypatch.setattr(service.worker.results, "read_report", lambda _: whole)
    monkeypatch.setattr(ForkServerContext, "set_forkserver_preload", lambda *_: None)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    folder = Settings(data_dir=tmp_path / "data").prepare().data_dir
    with closing(Store(Settings(data_dir=folder).database)) as store:
        yield Bench(folder, store)
