"""From PyTorch in two lines: `analyze_module(module, batch, targets, loss=..., optimizer=...)`, see `module`."""

from gradient_health.answer import ModuleReport
from gradient_health.module import analyze_module

__all__ = ["ModuleReport", "analyze_module"]
