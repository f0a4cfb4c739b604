"""The main job, end to end: start the service, send it the bundled sick model, print what is wrong and what helps.

    python deploy/demo/run.py [MODEL [BATCH]]

Writes report.json and report.html into the current folder and stops the service. `make demo` runs this.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.render.html import render_html
from analysis.render.text import render_text
from service.client import Client

HERE = Path(__file__).parent
START_SECONDS = 120.0
LISTENING = "listening on "


def main() -> None:
    """Analyse the files named on the command line, by default the bundled ones."""
    files = [Path(name) for name in sys.argv[1:3]] or [HERE / "deep_sigmoid.onnx", HERE / "batch.npz"]
    with tempfile.TemporaryDirectory() as folder, running_service(Path(folder)) as client:
        print(f"analysing {files[0].name} over HTTP")
        report = client.analyze(*files, progress=Stages().show)
    print("\n" + render_text(report))
    contents = {"report.json": report.to_json(indent=1), "report.html": render_html(report).encode()}
    for name, content in contents.items():
        Path(name).write_bytes(content)
    print("the whole report: " + ", ".join(f"{name} ({len(each) // 1024} KiB)" for name, each in contents.items()))


class Stages:
    """Prints each stage once."""

    def __init__(self) -> None:
        """Nothing shown yet."""
        self.shown = ""

    def show(self, stage: str, fraction: float) -> None:
        """A line per stage."""
        if stage != self.shown:
            self.shown = stage
            print(f"  {fraction:4.0%} {stage}", flush=True)


@contextmanager
def running_service(folder: Path) -> Iterator[Client]:
    """A service on a free port, ready to compute."""
    command = [sys.executable, "-m", "service", "serve", "--port", "0", "--data-dir", str(folder)]
    log = (folder / "service.log").open("wb")
    with log, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            yield _ready_client(process)
        finally:
            process.terminate()


def _ready_client(process: "subprocess.Popen[str]") -> Client:
    print("starting the service (loads torch once)", flush=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith(LISTENING):
        raise SystemExit(f"the service did not start: {line}")
    client = Client(line.removeprefix(LISTENING).strip())
    deadline = time.monotonic() + START_SECONDS
    while not client.ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the service did not get ready")
        time.sleep(0.1)
    return client


if __name__ == "__main__":
    main()
