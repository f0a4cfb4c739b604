"""Settings all tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import pytest
import torch
from hypothesis import settings

settings.register_profile("shared", deadline=None, derandomize=True)  # machines are shared and slow at times
settings.load_profile("shared")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The same numbers on every machine."""
    torch.set_num_threads(1)
