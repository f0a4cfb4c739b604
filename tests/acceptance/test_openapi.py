"""What the API answers held against its own OpenAPI, by schemathesis with all of its checks."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import serving

pytestmark = pytest.mark.server
EXAMPLES = "5"
"""Of each operation and phase."""
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]  # a gate without a verdict yet

[[operations]]
include-path-regex = "^/v1/(analyses|comparisons|blobs)"
# made-up bytes are no model, have no name that was made up as well, and the report of what was no model is its problem
checks.positive_data_acceptance.expected-statuses = [
  "2xx", "3xx", "400", "404", "406", "409", "410", "413", "422", "503",
]
"""


def test_every_operation_answers_as_it_is_described(tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with serving(tmp_path, job_slots=2, default_wait_seconds=2, max_wait_seconds=2) as service:
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
        command += [f"{service.url}/openapi.json", "--checks", "all", "--max-examples", EXAMPLES]
        command += ["--seed", "1", "--no-color", "--request-timeout", "60"]
        told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert told.returncode == 0, told.stdout
        assert service.get("/readyz").is_success
