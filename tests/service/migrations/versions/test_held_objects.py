"""Jobs of before there were holds keep their files: a sweep lists them before it removes anything."""

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from analysis.report import Report
from service.database import open_engine, upgrade_tables, writing
from service.jobs.job import State
from service.jobs.store import Store
from service.jobs.tables import row_of
from service.migrations import upgrade
from service.objects.folder import ObjectFolder
from tests.service.jobs.small_jobs import small_job
from tests.service.worker.sweeps import Sweeps


def test_a_job_of_before_keeps_its_inputs_report_and_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sick: Report
) -> None:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    engine, folder = open_engine(url), tmp_path / "objects"
    folder.mkdir()
    objects = ObjectFolder(folder)
    names = {name: objects.put(name.encode()).sha256 for name in ("model", "data", "repaired", "nobody's")}
    told = json.loads(sick.to_json())
    told["variants"][0]["model"] = {"href": "variants/relu/model.onnx", "sha256": names["repaired"], "size_bytes": 8}
    report = objects.put(json.dumps(told).encode()).sha256
    row = row_of(small_job()) | {
        "model_sha256": names["model"],
        "batch_sha256": None,
        "data_files": json.dumps({"w": names["data"]}),
        "state": State.SUCCEEDED.value,
    }
    with monkeypatch.context() as before:
        before.setattr(upgrade, "HEAD", "0003")
        upgrade_tables(engine)
        with writing(engine) as connection:
            columns = ", ".join(row)
            values = ", ".join(f":{name}" for name in row)
            row["created"] = "2026-11-23 12:00:00.000000"
            connection.execute(text(f"INSERT INTO jobs ({columns}) VALUES ({values})"), row)
            connection.execute(text("UPDATE jobs SET report_sha256 = :report"), {"report": report})
    engine.dispose()
    sweeps = Sweeps(Store(url), objects)
    sweeps.rounds(3)
    assert sweeps.names() == {names["model"], names["data"], names["repaired"], report}
    sweeps.store.close()
