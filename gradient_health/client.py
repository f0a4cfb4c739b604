"""The clients of the service, which take modules of PyTorch, too; torch is loaded with the first of them.

Keywords are those of `analyze_module` (loss, optimizer, options) and of `Client.analyze` (labels, progress, models,
timeout ...).
"""

from typing import TYPE_CHECKING, Any

from analysis.render.pytorch import the_change
from analysis.report import Report
from gradient_health.answer import ModuleReport
from service.client.asynchronous import AsyncClient as AnyAsyncClient
from service.client.client import Client as AnyClient
from service.schemas import JobView

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from gradient_health.export import Inputs
    from gradient_health.module import Exported, Kept

OF_THE_EXPORT = ("loss", "optimizer", "options")


class Client(AnyClient):
    """Talks to one service; see `service.client.client`."""

    def analyze_module(
        self, module: "nn.Module", batch: "Inputs", targets: "Tensor | None" = None, **how: Any
    ) -> ModuleReport:
        """Export, submit, wait, fetch. Raises AnalysisError, ApiError, WaitedTooLong, httpx.TransportError."""
        with _exported(module, batch, targets, how) as files:
            report = self.analyze(*files, **how)
            with _kept(how) as place:
                self.fetch_models(report.id, report, place.folder, _change(report))
                return _answer(module, batch, files, report, place)

    def submit_module(
        self, module: "nn.Module", batch: "Inputs", targets: "Tensor | None" = None, **how: Any
    ) -> JobView:
        """Export, submit, and return at once."""
        with _exported(module, batch, targets, how) as files:
            return self.submit(*files, **how)


class AsyncClient(AnyAsyncClient):
    """The same for asyncio. The export itself keeps the event loop waiting."""

    async def analyze_module(
        self, module: "nn.Module", batch: "Inputs", targets: "Tensor | None" = None, **how: Any
    ) -> ModuleReport:
        """Export, submit, wait, fetch. Raises AnalysisError, ApiError, WaitedTooLong, httpx.TransportError."""
        with _exported(module, batch, targets, how) as files:
            report = await self.analyze(*files, **how)
            with _kept(how) as place:
                await self.fetch_models(report.id, report, place.folder, _change(report))
                return _answer(module, batch, files, report, place)

    async def submit_module(
        self, module: "nn.Module", batch: "Inputs", targets: "Tensor | None" = None, **how: Any
    ) -> JobView:
        """Export, submit, and return at once."""
        with _exported(module, batch, targets, how) as files:
            return await self.submit(*files, **how)


def _exported(
    module: "nn.Module", batch: "Inputs", targets: "Tensor | None", how: dict[str, Any]
) -> "AbstractContextManager[Exported]":
    """The files of a module; takes the keywords of the export out of `how`."""
    from gradient_health.module import exported  # noqa: PLC0415 - loads torch

    return exported(module, batch, targets, **{name: how.pop(name) for name in OF_THE_EXPORT if name in how})


def _change(report: Report) -> list[str]:
    """The variant whose model is wanted, if any."""
    change = the_change(report)
    return [] if change is None else [change.id]


def _kept(how: dict[str, Any]) -> "AbstractContextManager[Kept]":
    from gradient_health.module import kept  # noqa: PLC0415 - loads torch

    return kept(how.get("models"))


def _answer(module: "nn.Module", batch: "Inputs", files: "Exported", report: Report, place: "Kept") -> ModuleReport:
    from gradient_health.module import answer  # noqa: PLC0415 - loads torch

    return answer(module, batch, files, report, place)
