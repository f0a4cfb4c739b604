"""The form as browsers send it where no script runs: its files and fields become a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from anyio.to_thread import run_sync
from fastapi import Request

from service.api.admission import admit_body, admit_job
from service.api.caching import age_of
from service.api.context import parts_of, tenant_of
from service.api.rates import limited
from service.intake.multipart import Texts, receive
from service.intake.submission import submit
from service.jobs.job import Job
from service.pages.fields import PREFIX, option_fields, options_said
from service.pages.history import LABELS, LONGEST_LABEL
from service.problems import refusal


@dataclass(frozen=True, slots=True)
class Sent:
    """What was typed into the form, kept for one that is refused."""

    texts: Texts = field(
        default_factory=lambda: Texts([*LABELS, *(PREFIX + each.name for each in option_fields())], options_said)
    )

    @property
    def said(self) -> Mapping[str, str]:
        """By the name of the field."""
        return {name: bytes(text).decode(errors="replace").strip() for name, text in self.texts.said.items()}

    @property
    def labels(self) -> dict[str, str]:
        """Those that were given. Raises ProblemError for one that is too long."""
        given = {name: self.said[name] for name in LABELS if self.said.get(name)}
        for name, value in given.items():
            if len(value) > LONGEST_LABEL:
                detail = f"longer than {LONGEST_LABEL} characters"
                raise refusal("bad-request", HTTPStatus.BAD_REQUEST, detail, where=name)
        return given


async def send(request: Request, sent: Sent) -> Job:
    """A job for the files of the form. Raises what `POST /v1/analyses` answers with."""
    parts, tenant = parts_of(request), tenant_of(request)
    await limited(request)
    admit_body(parts.settings, request.headers)
    upload = await receive(request.headers, request.stream(), parts.objects, parts.upload_limits, sent.texts)
    room, most = partial(admit_job, parts), parts.settings.max_queued_jobs_per_tenant
    whose = partial(submit, store=parts.store, tenant=tenant, labels=sent.labels, size_of=parts.objects.size)
    made = await run_sync(partial(whose, upload, quota=room, most=most, age=age_of(request, parts.settings)))
    parts.metrics.looked(made.reuse)
    return made.job
