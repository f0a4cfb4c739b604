"""The child of a comparison: `python -m service.comparisons.child DESCRIPTOR FOLDER GATE`, the body on standard input.

It confines itself before it reads the body, so that what is nested, repeated or slow in there ends this process only.
"""

import sys
from collections.abc import Callable
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, get_args

from pydantic import BaseModel
from pydantic_core import from_json

from analysis.comparison.compare import compare
from analysis.comparison.document import Comparison
from analysis.comparison.excerpt import Excerpt, parse_excerpt, read_excerpt
from analysis.errors import AnalysisError, BadReport
from analysis.report.gate import Gate
from service.comparisons.dialog import Compared, Refused, Side, Wanted
from service.problems import ProblemError, problem, problem_of, refusal
from service.worker.sandbox import Confinement, confine

MEMORY_BYTES: Final = 1 << 30
CPU_SECONDS: Final = 20
SIDES: Final[tuple[Side, ...]] = get_args(Side)
HINT: Final = 'send {"old": ..., "new": ...}, each a report or the id of an analysis'
TOO_EXPENSIVE: Final = problem(
    "comparison-too-expensive",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    f"the comparison took more than {CPU_SECONDS} s or {MEMORY_BYTES >> 20} MiB",
    hint="compare analyses by id, or leave out of a report what is no report",
)
Fetch = Callable[[Side, str], bytes]
"""The report of an analysis."""


def main() -> None:
    """Compare, and say how it went."""
    descriptor, folder, gate = sys.argv[1:]
    confine(Confinement(Path(folder), MEMORY_BYTES, CPU_SECONDS, file_bytes=0), [int(descriptor)])
    with Connection(int(descriptor)) as pipe:

        def say(what: BaseModel) -> None:
            pipe.send_bytes(what.model_dump_json().encode())

        def fetch(side: Side, job_id: str) -> bytes:
            say(Wanted(side=side, job_id=job_id))
            return pipe.recv_bytes()

        try:
            comparison = compare_sides(sys.stdin.buffer.read(), fetch, Gate.parse(gate))
            content = comparison.to_json()
            say(Compared(regression=comparison.regression, verdict=comparison.verdict.new.value))
            pipe.send_bytes(content)
        except AnalysisError as error:
            say(Refused(problem=problem_of(error)))
        except ProblemError as error:
            say(Refused(problem=error.problem))
        except MemoryError:
            say(Refused(problem=TOO_EXPENSIVE))


def compare_sides(content: bytes, fetch: Fetch, gate: Gate) -> Comparison:
    """The comparison that a body asks for. Raises BadReport, and ProblemError where it is no JSON."""
    try:
        body = from_json(content)
    except ValueError as error:
        raise refusal("bad-request", HTTPStatus.BAD_REQUEST, f"the body is not JSON: {error}", hint=HINT) from error
    if not isinstance(body, dict):
        raise BadReport("the body must be a JSON object", hint=HINT)
    for field in [*(side for side in SIDES if side not in body), *(name for name in body if name not in SIDES)]:
        raise BadReport("field required" if field in SIDES else "unknown field", where=field[:100], hint=HINT)
    old, new = (_excerpt(side, body[side], fetch) for side in SIDES)
    return compare(old, new, gate)


def _excerpt(side: Side, given: object, fetch: Fetch) -> Excerpt:
    """Of a report that was sent, or of the analysis that was named."""
    return read_excerpt(fetch(side, given), side) if isinstance(given, str) else parse_excerpt(given, side)


if __name__ == "__main__":
    main()
