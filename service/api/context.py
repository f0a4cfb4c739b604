"""What routes are given: the parts of the service, made once by the app, and who asks."""

import threading
from dataclasses import dataclass, field

from fastapi import Request

from service.intake.multipart import UploadLimits
from service.jobs.job import DEFAULT_TENANT
from service.jobs.store import Store
from service.objects.blob import Objects
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a running service."""

    settings: Settings
    store: Store
    objects: Objects
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the server is told to stop: whoever waits for a report is answered now."""

    @property
    def upload_limits(self) -> UploadLimits:
        """What one request may send."""
        settings = self.settings
        return UploadLimits(settings.max_upload_bytes, settings.max_options_bytes, settings.idle_upload_seconds)


def parts_of(request: Request) -> Parts:
    """The parts of the app a request came to."""
    parts = request.app.state.parts
    assert isinstance(parts, Parts)
    return parts


def tenant_of(request: Request) -> str:
    """Whose jobs a request may see: as long as there are no keys, everybody's are the same."""
    return DEFAULT_TENANT
