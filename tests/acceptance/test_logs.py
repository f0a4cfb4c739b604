"""What a real service says of a request and of its job, as JSON, in all of its processes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.asking import BATCH, HEALTHY
from tests.acceptance.conftest import serving, wait_until

pytestmark = pytest.mark.server
TRACE = "0af7651916cd43dd8448eb211c80319c"


def requests_in(log: str) -> list[dict[str, Any]]:
    """Of its lines those about a request."""
    return [told for told in map(json.loads, log.splitlines()) if told["message"] == "request"]


def test_everything_is_json_and_carries_the_ids_of_what_it_is_about(tmp_path: Path) -> None:
    audit = tmp_path / "audit.jsonl"
    with serving(tmp_path, log_format="json", audit_file=audit) as service:
        files = {"model": HEALTHY, "batch": BATCH}
        headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "Prefer": "wait=60"}
        answer = service.http.post(f"{service.url}/v1/analyses", files=files, headers=headers)
        assert answer.is_success, answer.text
        service.post(model=b"no model at all", prefer="wait=60")
        wait_until(lambda: len(requests_in(service.log)) == 2, "both requests in the log")  # after they are answered
        lines: list[dict[str, Any]] = [json.loads(line) for line in service.log.splitlines()]
        written = [json.loads(line) for line in audit.read_text().splitlines()]
    (request, _) = requests_in(service.log)
    assert (request["trace_id"], request["request_id"]) == (TRACE, answer.headers["x-request-id"])
    assert [line["action"] for line in written] == ["analyze"] * 2
    assert written[0]["trace_id"] == TRACE
    assert {line["logger"].partition(".")[0] for line in lines} >= {"service", "uvicorn"}
