"""Jobs of before there were holds keep their files: a sweep lists them before it removes anything."""

import json
from pathlib import Path

import pytest

from analysis.report import Report
from service.database import open_engine
from service.jobs.job import State
from service.jobs.store import Store
from service.objects.folder import ObjectFolder
from tests.service.migrations.earlier import database_of
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
    database_of(
        engine, "0003", monkeypatch, model_sha256=names["model"], batch_sha256=None, report_sha256=report,
        data_files=json.dumps({"w": names["data"]}), state=State.SUCCEEDED.value,
    )  # fmt: skip
    engine.dispose()
    sweeps = Sweeps(Store(url), objects)
    sweeps.rounds(3)
    assert sweeps.names() == {names["model"], names["data"], names["repaired"], report}
    sweeps.store.close()
