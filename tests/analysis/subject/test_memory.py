import os
import resource
from pathlib import Path

import pytest

from analysis.subject import memory
from analysis.subject.memory import allowed_bytes

MACHINE = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", ())
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_without_limits_it_is_the_memory_of_the_machine() -> None:
    assert allowed_bytes() == MACHINE


def test_the_least_limit_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_DATA: 2 << 20, resource.RLIMIT_AS: 3 << 20}
    monkeypatch.setattr(resource, "getrlimit", lambda what: (limits[what], resource.RLIM_INFINITY))
    assert allowed_bytes() == 2 << 20


@pytest.mark.parametrize(("text", "allowed"), [("1048576\n", 1 << 20), ("max\n", MACHINE), (str(1 << 62), MACHINE)])
def test_a_container_may_have_less_than_the_machine(
    text: str, allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(memory, "CONTAINER_LIMITS", (tmp_path / "missing", tmp_path / "memory.max"))
    assert allowed_bytes() == allowed
