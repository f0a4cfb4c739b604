"""Settings all tests share."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("shared", deadline=None, derandomize=True)  # machines are shared and slow at times
settings.load_profile("shared")

BUILDERS = (
    "tests.analysis.convert.ops.cases",
    "tests.analysis.convert.conversion",
    "tests.analysis.batch.batches",
    "tests.analysis.graph.graphs",
    "tests.analysis.model.models",
)
"""Modules beside the tests that draw numbers of their own."""


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The same numbers on every machine."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_draws(request: pytest.FixtureRequest) -> None:
    """Whatever ran before in this process."""
    for module in (request.module, *(sys.modules.get(name) for name in BUILDERS)):
        random = getattr(module, "RANDOM", None)
        if isinstance(random, np.random.Generator):
            random.bit_generator.state = np.random.default_rng(0).bit_generator.state


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where tests are dealt to processes by group: those of a file share servers."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(item.config.rootpath).as_posix()))
