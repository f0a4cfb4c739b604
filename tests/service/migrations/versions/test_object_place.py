"""A database of before nodes shared objects belongs to nobody's objects yet."""

from pathlib import Path

import pytest
from sqlalchemy import text

from service.database import open_engine, upgrade_tables
from service.migrations import upgrade
from service.objects.folder import ObjectFolder
from service.objects.place import OtherPlaceError, agree


def test_the_first_node_after_the_upgrade_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/jobs.sqlite")
    with monkeypatch.context() as before:
        before.setattr(upgrade, "HEAD", "0001")
        upgrade_tables(engine)
    upgrade_tables(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM object_place")).scalar_one() == 0
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    agree(ObjectFolder(tmp_path / "first"), engine, private=False)
    with pytest.raises(OtherPlaceError):
        agree(ObjectFolder(tmp_path / "second"), engine, private=False)
    engine.dispose()
