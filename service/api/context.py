"""What routes need: made once by the app, found on every request."""

import threading
from dataclasses import dataclass, field

from fastapi import Request

from service.intake.multipart import UploadLimits
from service.jobs.store import Store
from service.objects.blob import Objects
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
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


def context_of(request: Request) -> Context:
    """The context of the app a request came to."""
    context = request.app.state.context
    assert isinstance(context, Context)
    return context
