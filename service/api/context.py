"""What routes are given: the parts of the service, made once by the app, and who asks."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from anyio import CapacityLimiter
from fastapi import Request

from service.access.caller import Caller
from service.access.keys import KeyTable
from service.api.ends import Ends, Looks
from service.api.metrics import Metrics
from service.drain import Drain
from service.intake.body import Patience, UploadLimits
from service.jobs.job import DEFAULT_TENANT
from service.jobs.store import Store
from service.objects.blob import Objects
from service.settings import Settings

if TYPE_CHECKING:
    from service.access.tokens import Issuer

WRITERS: Final = 8
"""Uploads that write at the same moment; a disk that hangs holds these threads, not those that read the job table."""
COMPARERS: Final = 2
"""Comparisons at a time, each in a child of its own."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running service."""

    settings: Settings
    store: Store
    objects: Objects
    drain: Drain
    """Begins when the server is told to stop: whoever waits for a report is answered then."""
    metrics: Metrics
    ends: Ends
    looks: Looks
    issuer: "Issuer | None" = None
    """Of tokens, where they open anything."""
    writers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(WRITERS))
    comparers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(COMPARERS))

    @property
    def keys(self) -> KeyTable:
        """API keys, beside the jobs."""
        return KeyTable(self.store.engine)

    @property
    def patience(self) -> Patience:
        """How long the body of a request is waited for."""
        return Patience(self.settings.idle_upload_seconds, self.settings.min_upload_bytes_per_second, self.drain)

    @property
    def upload_limits(self) -> UploadLimits:
        """What one request may send."""
        settings = self.settings
        limits = UploadLimits(settings.max_upload_bytes, settings.max_options_bytes, self.patience, self.writers)
        return replace(limits, anew=settings.needs_keys, has_reserve=settings.has_reserve)


def parts_of(request: Request) -> Parts:
    """The parts of the app a request came to."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


def tenant_of(request: Request) -> str:
    """Whose jobs a request may see: those of its caller's tenant; without keys, everybody's are the same."""
    if not parts_of(request).settings.needs_keys:
        return DEFAULT_TENANT
    caller = request.state.caller  # a route that nobody guards fails here, and shows nothing
    assert isinstance(caller, Caller)
    return caller.tenant
