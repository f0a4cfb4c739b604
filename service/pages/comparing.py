"""Two analyses of a tenant, compared as `POST /v1/comparisons` does."""

import json
import tempfile
from collections.abc import Mapping
from functools import partial

from anyio.to_thread import run_sync

from analysis.comparison.document import Comparison
from analysis.report.gate import Gate
from service.api.context import Parts
from service.api.routes.comparisons import SIDES, compare_body, report_of_side


async def compared(parts: Parts, tenant: str, sides: Mapping[str, str]) -> Comparison:
    """What changed from `old` to `new`, ids of analyses. Raises ProblemError naming the side."""
    report = partial(report_of_side, parts, tenant, gated=False)
    with tempfile.TemporaryFile(dir=parts.settings.data_dir) as body:
        body.write(json.dumps({side: sides[side] for side in SIDES}).encode())
        answer = await compare_body(parts, body, Gate(), report)
    return await run_sync(Comparison.model_validate_json, answer.content)
