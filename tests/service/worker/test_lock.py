"""One holder at a time, and the next when it has let go."""

import threading
from pathlib import Path

from service.worker.lock import Lock


def test_the_second_waits_for_the_first(tmp_path: Path) -> None:
    order = []

    def wait_for_it() -> None:
        with Lock(tmp_path):
            order.append("second")

    with Lock(tmp_path):
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]


def test_folders_do_not_wait_for_each_other(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with Lock(tmp_path / "one"), Lock(tmp_path / "other"):
        assert (tmp_path / "one" / "supervisor.lock").exists()


def test_only_its_owner_may_open_the_lock(tmp_path: Path) -> None:
    with Lock(tmp_path):
        assert (tmp_path / "supervisor.lock").stat().st_mode & 0o077 == 0
