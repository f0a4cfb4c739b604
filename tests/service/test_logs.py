"""What processes say, read back by those who would collect it."""

import json
import logging
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from anyio import run
from anyio.to_thread import run_sync

from service.logs import PlainFormatter, about, ids, say

SCRIPT = """
import logging, sys
from service.logs import AUDIT, about, configure, say
configure(sys.argv[1], sys.argv[2])
log = logging.getLogger("somebody")
log.info("before %s", "all")
with about(request_id="r1", trace_id=None):
    with about(job_id="j1"):
        say(log, "two\\nlines \u00e9", status=200, seconds=0.5)
    say(logging.getLogger(AUDIT), "audit", who="k1")
    try:
        raise ValueError("a\\nb")
    except ValueError:
        log.exception("broken")
log.debug("nobody hears this")
logging.getLogger("httpx").info("nor this: https://ci.example.org/?token=secret")
"""


def said(form: str, audit_file: Path) -> str:
    script = SCRIPT.replace("\\\\", "\\")
    done = subprocess.run([sys.executable, "-c", script, form, audit_file], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def test_json_is_an_object_a_line_with_ids_and_fields(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [json.loads(line) for line in said("json", tmp_path / "audit").splitlines()]
    before, told, audit, broken = lines  # and no other
    assert (before["message"], before["level"], before["logger"]) == ("before all", "info", "somebody")
    assert datetime.now(UTC) - datetime.fromisoformat(before["time"]) < timedelta(minutes=5)
    assert "request_id" not in before
    assert (told["message"], told["request_id"], told["job_id"]) == ("two\nlines é", "r1", "j1")
    assert (told["status"], told["seconds"]) == (200, 0.5)
    assert "trace_id" not in told
    assert (audit["logger"], audit["who"], audit["request_id"], "job_id" in audit) == (
        "service.audit",
        "k1",
        "r1",
        False,
    )
    assert broken["level"] == "error"
    assert broken["exception"].startswith("Traceback")
    assert broken["exception"].endswith("ValueError: a\nb")


def test_text_has_them_at_the_end_of_the_line(tmp_path: Path) -> None:
    text = said("text", tmp_path / "audit")
    assert " INFO somebody before all\n" in text
    assert "lines é request_id=r1 job_id=j1 status=200 seconds=0.5\n" in text
    assert " ERROR somebody broken request_id=r1\nTraceback" in text


@pytest.mark.parametrize("path", ["/a\n2026-11-30 INFO service.audit audit", "/a status=200", '/"', "/\u2028\x1b[2J"])
def test_in_text_a_value_is_one_word_of_its_line(path: str) -> None:
    record = logging.LogRecord("service.audit", logging.INFO, "", 0, "audit", (), None)
    record.fields = {"path": path, "status": 404}
    line = PlainFormatter().format(record)
    assert line.isprintable()
    assert line.endswith(f" audit path={json.dumps(path)} status=404")


def test_who_did_what_is_in_a_file_of_its_own_and_nothing_else_is(tmp_path: Path) -> None:
    for form in ("text", "json"):
        said(form, tmp_path / "audit")
    lines = [json.loads(line) for line in (tmp_path / "audit").read_text().splitlines()]
    assert [(line["message"], line["who"], line["request_id"]) for line in lines] == [("audit", "k1", "r1")] * 2


def test_ids_reach_the_threads_that_work_for_a_request_and_end_with_it() -> None:
    async def work() -> dict[str, str]:
        with about(request_id="r"):
            return dict(await run_sync(ids))

    assert run(work) == {"request_id": "r"}
    assert dict(ids()) == {}


def test_fields_are_no_part_of_the_message(caplog: pytest.LogCaptureFixture) -> None:
    say(logging.getLogger("test"), "100% of %s", logging.WARNING, name="x")
    assert caplog.messages == ["100% of %s"]
