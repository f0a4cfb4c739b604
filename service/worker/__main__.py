"""`python -m service.worker`: the supervisor of a data folder, until it is told to stop.

It stops on a signal, and, unless it is `alone`, when its standard input closes: whoever started it holds the other end,
so it never outlives the service.
"""

import os
import signal
import sys
import threading
from typing import Final

from service import logs
from service.settings import Settings
from service.startup import CannotStartError
from service.tracing.tracer import tracer_of
from service.worker.lock import Lock
from service.worker.supervisor import Supervisor

ALONE: Final = "alone"
"""An argument: nobody holds the other end of standard input."""


def main() -> None:
    """Serve until standard input closes or a signal comes."""
    settings = Settings().prepare()
    logs.configure(settings.log_format)
    tracer = tracer_of(os.environ)
    with Lock(settings.data_dir):
        try:
            supervisor = Supervisor(settings, tracer)
        except CannotStartError as error:
            sys.exit(f"error: {error}")
        _forget_settings()
        os.environ[logs.ENVIRONMENT] = settings.log_format
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stopping.set())
        if ALONE not in sys.argv:
            threading.Thread(target=_stop_with_parent, args=(supervisor,), daemon=True).start()
        supervisor.serve()
        if tracer is not None:
            tracer.close()


def _forget_settings() -> None:
    """Children are started with what is left of the environment and could read it for ever, passwords among it."""
    secrets = (Settings.model_config["env_prefix"], "AWS_", "OTEL_")
    for name in [name for name in os.environ if name.upper().startswith(secrets)]:
        del os.environ[name]


def _stop_with_parent(supervisor: Supervisor) -> None:
    """Not through sys.stdin, whose lock this thread would still hold when the interpreter ends."""
    while os.read(0, 1):
        pass
    supervisor.stopping.set()
    if not supervisor.ready:  # it waits for its fork server, and has nothing to give back
        os._exit(0)


if __name__ == "__main__":
    main()
