"""A database as it was made before its tables had versions, with what lay in it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from service.access.keys import KeyTable
from service.jobs.job import State
from service.jobs.store import Store

BEFORE = """
CREATE TABLE jobs (
    id VARCHAR(36) NOT NULL, tenant VARCHAR(100) NOT NULL, state VARCHAR(16) NOT NULL, attempt INTEGER NOT NULL,
    fence INTEGER NOT NULL, owner TEXT, lease_until DATETIME, created DATETIME NOT NULL, started DATETIME,
    finished DATETIME, stage VARCHAR(100) NOT NULL, fraction FLOAT NOT NULL, model_sha256 VARCHAR(64) NOT NULL,
    model_name TEXT NOT NULL, batch_sha256 VARCHAR(64), options TEXT NOT NULL, digest VARCHAR(64) NOT NULL,
    data_files TEXT NOT NULL, idempotency_key VARCHAR(255), report_sha256 VARCHAR(64), error TEXT,
    labels TEXT NOT NULL, PRIMARY KEY (id)
);
CREATE INDEX jobs_by_digest ON jobs (tenant, digest);
CREATE UNIQUE INDEX jobs_by_key ON jobs (tenant, idempotency_key);
CREATE INDEX jobs_to_claim ON jobs (state, created);
CREATE TABLE workers (owner TEXT NOT NULL, seen DATETIME NOT NULL, ready INTEGER NOT NULL, PRIMARY KEY (owner));
CREATE TABLE deleted_jobs (
    id VARCHAR(36) NOT NULL, tenant VARCHAR(100) NOT NULL, deleted DATETIME NOT NULL, PRIMARY KEY (id)
);
CREATE TABLE api_keys (
    id VARCHAR(16) NOT NULL, sha256 VARCHAR(64) NOT NULL, tenant VARCHAR(100) NOT NULL, scopes TEXT NOT NULL,
    created DATETIME NOT NULL, expires DATETIME, revoked DATETIME, PRIMARY KEY (id)
);
INSERT INTO jobs VALUES (
    '0193a1c2-7e60-7c3e-9d55-2f6b1f0c8a11', 'vision', 'queued', 0, 0, NULL, NULL, '2026-11-23 12:00:00.000000', NULL,
    NULL, 'queued', 0.0, 'aa', 'net.onnx', NULL, '{}', 'dd', '{}', 'key', NULL, NULL, '{"project": "a"}'
);
INSERT INTO api_keys VALUES ('0123456789abcdef', 'ff', 'vision', '["read"]', '2026-11-23 12:00:00', NULL, NULL);
"""


def test_jobs_and_keys_of_before_there_were_versions_are_still_there(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(BEFORE)
    with closing(Store(f"sqlite:///{path}")) as store:
        (key,) = KeyTable(store.engine).all()
        job = store.by_key("key", "vision")
        claimed = store.claim("worker")
    assert job is not None
    assert (job.state, job.labels, key.tenant) == (State.QUEUED, {"project": "a"}, "vision")
    assert claimed is not None
    assert claimed.id == job.id
