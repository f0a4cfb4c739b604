"""From PyTorch in two lines, and clients of the service.

`analyze_module(module, batch, targets, loss=..., optimizer=...)`: see `module`. `Client`, `AsyncClient`: see `client`.
A name is loaded when it is asked for: a client needs no torch until it is given a module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradient_health.answer import ModuleReport
    from gradient_health.client import AsyncClient, Client
    from gradient_health.module import analyze_module

__all__ = ["AsyncClient", "Client", "ModuleReport", "analyze_module"]
PLACES = {"AsyncClient": "client", "Client": "client", "ModuleReport": "answer", "analyze_module": "module"}


def __getattr__(name: str) -> Any:
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
