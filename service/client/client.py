"""A client that waits."""

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self, Unpack, cast

import httpx

from analysis.comparison.document import Comparison
from analysis.report import Report
from service.client import blobs, calls
from service.client.calls import TIMEOUT, Analysis, Progress, Submission, connection
from service.client.content import Batch, Model, Options
from service.client.following import Following
from service.client.retrying import DEFAULT_RETRIES, retrying
from service.client.steps import Call, Close, Done, Listen, NextLine, Pause, Send, Step, Stream, T, chunks, next_of
from service.schemas import JobView


class Client:
    """Talks to one service. Raises ApiError (see `service.client.errors`) and, without an answer, httpx.TransportError.

    A model is a file or bytes; a batch is one, too, or arrays by name. `labels`: project, commit, model_version.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout: float | httpx.Timeout = TIMEOUT,
        retries: int = DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Where the service is, and an API key for it; by default the one in GRADIENT_HEALTH_API_KEY, if any.

        `timeout`: seconds of a single read, write or connection. `retries`: how often more a request is tried when the
        connection fails or the service has no room.

        Raises BadOptions where that is no key.
        """
        self._http = httpx.Client(**connection(url, key, timeout), transport=transport)
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def analyze(
        self, model: Model, batch: Batch | None = None, options: Options | None = None, **how: Unpack[Analysis]
    ) -> Report:
        """Submit, wait, fetch the report and, with `models`, the repaired models. Raises WaitedTooLong, too."""
        return self._run(calls.analyze(model, batch, options, **how))

    def submit(
        self, model: Model, batch: Batch | None = None, options: Options | None = None, **how: Unpack[Submission]
    ) -> JobView:
        """Upload and return at once."""
        return self._run(calls.submit(model, batch, options, **how))

    def wait(self, job_id: str, progress: Progress | None = None, timeout: float | None = None) -> JobView:
        """The job as it ended, whatever end that was. Raises WaitedTooLong."""
        return self._run(calls.wait(job_id, progress, timeout))

    def follow(self, job_id: str, timeout: float | None = None) -> Iterator[JobView]:
        """The job whenever it has changed, to its end. Raises WaitedTooLong."""
        following = Following(job_id, timeout)
        try:
            while (job := self._run(following.next())) is not None:
                yield job
        finally:
            self._run(following.close())

    def job(self, job_id: str) -> JobView:
        """State and progress."""
        return self._run(calls.job_of(job_id))

    def jobs(self, state: Iterable[str] = (), labels: Mapping[str, str] | None = None) -> Iterator[JobView]:
        """Jobs, newest first: those in any of these states that have these labels. Pages are fetched as needed."""
        cursor: str | None = None
        while True:
            page = self._run(calls.page(state, labels, cursor))
            yield from page.analyses
            cursor = page.next
            if cursor is None:
                return

    def report(self, job_id: str) -> Report:
        """The report of a job that has ended. Raises Conflict before."""
        return self._run(calls.report_of(job_id))

    def report_as(self, job_id: str, suffix: str) -> str:
        """The same in another format: html, md, junit.xml, sarif ..."""
        return self._run(calls.report_as(job_id, suffix))

    def fetch_models(self, job_id: str, report: Report, folder: Path, variants: Iterable[str]) -> None:
        """The models of these variants, where they have one, as `<variant id>.onnx`; each whole or not at all."""
        self._run(calls.fetch_models(job_id, report, folder, variants))

    def put_blob(self, content: Path | bytes) -> str:
        """Send a file ahead, which the service keeps for a while; its sha256. `blobs=True` does so by itself."""
        return self._run(blobs.put_blob(content))

    def cancel(self, job_id: str) -> JobView:
        """End it; a second time changes nothing. Raises Conflict where it has ended by itself."""
        return self._run(calls.cancel(job_id))

    def delete(self, job_id: str) -> None:
        """Forget it and its report; forgotten is also what was deleted before."""
        self._run(calls.delete(job_id))

    def compare(self, old: str | Report, new: str | Report, fail_on: str | None = None) -> Comparison:
        """What changed from one to the other, each a report or the id of a job; `regression` says if that fails."""
        return self._run(calls.compare(old, new, fail_on))

    def ready(self) -> bool:
        """Whether analyses can run now; asked once."""
        return self._run(calls.is_ready(), retries=0)

    def _run(self, call: Call[T], retries: int | None = None) -> T:
        """Carry a call out."""
        steps = retrying(call, self._retries if retries is None else retries)
        step = next_of(steps)
        while not isinstance(step, Done):
            try:
                answer = self._perform(step)
            except BaseException as error:  # noqa: BLE001 - the call has it first, and hangs up
                step = next_of(steps, error=error)
            else:
                step = next_of(steps, answer)
        return step.value

    def _perform(self, step: Step) -> object:
        match step:
            case Send():
                return self._send(step)
            case Listen():
                response = self._http.send(self._http.build_request("GET", step.path, **step.how), stream=True)
                if not response.is_success:
                    response.read()
                return Stream(response, response.iter_lines())
            case NextLine():
                return next(cast("Iterator[str]", step.stream.lines), None)
            case Close():
                step.stream.response.close()
            case Pause():
                time.sleep(step.seconds)
        return None

    def _send(self, step: Send) -> httpx.Response:
        content = None if step.body is None else chunks(step.body)
        request = self._http.build_request(step.method, step.path, content=content, **step.how)
        response = self._http.send(request, stream=True)
        try:
            if step.file is None or not response.is_success:
                response.read()
            else:
                step.file.truncate(0)
                step.file.seek(0)
                for chunk in response.iter_bytes():
                    step.file.write(chunk)
        finally:
            response.close()
        return response
