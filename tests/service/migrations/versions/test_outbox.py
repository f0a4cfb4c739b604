"""Jobs that waited before there was an outbox are published."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from service.database import open_engine, upgrade_tables, writing
from service.jobs.outbox import unpublished
from service.jobs.store import Store
from service.migrations import upgrade

WAITS = """
INSERT INTO jobs (id, tenant, state, attempt, fence, created, stage, fraction, model_sha256, model_name, options,
                  digest, data_files, labels)
VALUES ('waits', 'default', 'queued', 0, 0, '2026-11-23 12:00:00.000000', 'queued', 0, 'aa', 'net.onnx', '{}',
        'dd', '{}', '{}')
"""


def test_what_waited_before_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine = open_engine(url)
    with monkeypatch.context() as before:
        before.setattr(upgrade, "HEAD", "0002")
        upgrade_tables(engine)
    with writing(engine) as connection:
        connection.execute(text(WAITS))
    engine.dispose()
    with closing(Store(url)) as store, unpublished(store, lost_too=False) as waiting:
        assert [(each.job_id, each.gpu) for each in waiting] == [("waits", False)]
