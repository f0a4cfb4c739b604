"""An analysis in this process: torch is loaded when it begins, as --help and --server need not wait for that."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.clock import Progress
from analysis.options import AnalysisOptions
from analysis.report import Report


def analyze_here(
    model: Path, batch: Path | None, options: AnalysisOptions, models: Path | None, progress: Progress
) -> Report:
    """The report; models of proven remedies go to `models`. Raises AnalysisError."""
    with _lasting():
        import torch  # noqa: PLC0415 - see above

        from analysis.experiment.export import Destination  # noqa: PLC0415 - the same
        from analysis.pipeline import analyze  # noqa: PLC0415 - the same
        from service.worker.allocator import keep_freed_memory  # noqa: PLC0415 - the same

    torch.set_num_threads(1)
    keep_freed_memory()
    to = None if models is None else Destination(models, proven_only=True)
    return analyze(model, batch, options, models=to, progress=progress)


@contextmanager
def _lasting() -> Iterator[None]:
    """What is loaded inside stays: Python's collector need not go through it again and again (.5 s)."""
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
