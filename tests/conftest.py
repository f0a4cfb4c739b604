"""Settings all tests share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    """The same numbers on every machine."""
    torch.set_num_threads(1)
