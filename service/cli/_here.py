"""An analysis in this process: torch is loaded when it begins, as --help and --server need not wait for that."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from analysis.clock import Progress
from analysis.options import AnalysisOptions
from analysis.report import Report

MOST_PROCESSES: Final = 4
"""Treatments are trained five side by side; each process has the memory of one training."""


def analyze_here(
    model: Path,
    batch: Path | None,
    options: AnalysisOptions,
    models: Path | None,
    progress: Progress,
    processes: int | None = None,
) -> Report:
    """The report; models of proven remedies go to `models`. Raises AnalysisError.

    `processes`: that trainings are dealt to; None: as many as there are cores, up to MOST_PROCESSES.
    """
    with _lasting():
        import torch  # noqa: PLC0415 - see above

        from analysis.experiment.export import Destination  # noqa: PLC0415 - the same
        from analysis.pipeline import analyze  # noqa: PLC0415 - the same
        from service.settings import usable_cores  # noqa: PLC0415 - the same
        from service.worker.allocator import keep_freed_memory  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    keep_freed_memory()
    to = None if models is None else Destination(models, proven_only=True)
    many = min(usable_cores(), MOST_PROCESSES) if processes is None else processes
    return analyze(model, batch, options, models=to, progress=progress, processes=many)


@contextmanager
def _lasting() -> Iterator[None]:
    """What is loaded inside stays: Python's collector need not go through it again and again (.5 s)."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
