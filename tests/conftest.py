"""Settings all tests share."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start, too

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The same numbers on every machine."""
    torch.set_num_threads(1)
