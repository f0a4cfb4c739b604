"""The analyses of a tenant as rows: found by label and state, a page at a time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

from pydantic_core import from_json

from service.api.context import Parts
from service.jobs.job import CURSOR, Job, State
from service.jobs.store import Wanted
from service.objects.blob import Objects
from service.problems import refusal

LABELS: Final = ("project", "commit", "model_version")
LONGEST_LABEL: Final = 200
LONGEST_PAGE: Final = 25
BEGINNING: Final = 2048
"""Bytes of a stored report in which its verdict stands."""


@dataclass(frozen=True, slots=True)
class Row:
    """An analysis in a list."""

    job: Job
    verdict: str
    """Empty where there is none."""


@dataclass(frozen=True, slots=True)
class Search:
    """What a list shows."""

    labels: Mapping[str, str]
    state: State | None
    cursor: str | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "Search":
        """From the fields of the form, empty ones left out. Raises ProblemError for a state or place that is none."""
        labels = {name: query[name].strip()[:LONGEST_LABEL] for name in LABELS if query.get(name, "").strip()}
        state = query.get("state", "")
        if state and state not in list(State):
            known = ", ".join(State)
            raise refusal("bad-request", HTTPStatus.BAD_REQUEST, "there is no such state", where="state", hint=known)
        cursor = query.get("cursor") or None
        if cursor is not None and not re.fullmatch(CURSOR, cursor):
            hint = "take the address of the next page as it is"
            raise refusal("bad-request", HTTPStatus.BAD_REQUEST, "no page begins there", where="cursor", hint=hint)
        return cls(labels, State(state) if state else None, cursor)

    def link(self, cursor: str | None) -> str:
        """The address of the same search from there on."""
        fields = {**self.labels, "state": self.state and self.state.value, "cursor": cursor}
        told = urlencode({name: value for name, value in fields.items() if value})
        return f"/analyses?{told}" if told else "/analyses"


def rows_of(parts: Parts, tenant: str, search: Search, limit: int = LONGEST_PAGE) -> tuple[Sequence[Row], str | None]:
    """A page of the list, newest first, and the cursor of the next."""
    wanted = Wanted([] if search.state is None else [search.state], search.labels)
    jobs = parts.store.page(tenant, wanted, limit + 1, search.cursor)
    shown = [Row(job, verdict_of(parts.objects, job)) for job in jobs[:limit]]
    return shown, shown[-1].job.id if len(jobs) > limit else None


def verdict_of(objects: Objects, job: Job) -> str:
    """Of a job that succeeded: from the beginning of its report, of which a list could not read every whole one."""
    if job.report_sha256 is None:
        return ""
    with objects.local(job.report_sha256) as path, path.open("rb") as file:
        beginning = from_json(file.read(BEGINNING), allow_partial="trailing-strings")
    return str(beginning.get("verdict", ""))
