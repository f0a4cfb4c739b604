"""Draws the pictures of the concepts: `python docs/draw.py`. They are figures of real reports, cut out of the page."""

import re
from pathlib import Path
from typing import Final

import torch
from torch import nn

from analysis.options import parse_options
from analysis.pipeline import analyze
from analysis.render.html import render_html, style_sheet
from analysis.report import Report
from gradient_health import analyze_module

PICTURES: Final = Path(__file__).parent / "pictures"
DEMO: Final = Path(__file__).parents[1] / "deploy" / "demo"
QUICK: Final = {"effort": "quick"}
PICTURE: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1060 430" font-family="system-ui, sans-serif" font-size="14">
<style>{style}</style>
<rect width="1060" height="430" fill="var(--page)"/>
{names}{plot}
</svg>
"""


class Block(nn.Module):
    """A residual block whose branch lets next to nothing through."""

    def __init__(self, width: int) -> None:
        """Two layers, squashed and small."""
        super().__init__()
        self.squash, self.mix = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.normal_(self.squash.weight, std=0.05)
        nn.init.normal_(self.mix.weight, std=0.05)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, width] as it came, and what the branch adds."""
        return x + self.mix(torch.sigmoid(self.squash(x)))


def flow() -> Report:
    """The bundled sick model, as it is and with the treatments whose flow is nearest to even."""
    return analyze(DEMO / "deep_sigmoid.onnx", DEMO / "batch.npz", parse_options(QUICK))


def trunk() -> Report:
    """A residual network: what lies beside the trunk may carry a tiny gradient in good health."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(32, 32), *(Block(32) for _ in range(5)), nn.Linear(32, 5))
    x, y = torch.randn(256, 32), torch.arange(256) % 5
    return analyze_module(module, x, y, loss=nn.CrossEntropyLoss(), options=QUICK).report


def picture(report: Report) -> str:
    """The flow figure of the page of a report, as an SVG that stands alone."""
    names, plot = re.findall(r'<svg class="(?:names|plot)".*?</svg>', render_html(report), re.DOTALL)
    return PICTURE.format(
        style=style_sheet(),
        names=names.replace("<svg ", '<svg width="260" height="430" ', 1),
        plot=plot.replace("<svg ", '<svg x="260" width="800" height="430" ', 1),
    )


def main() -> None:
    """Write both."""
    for draw in (flow, trunk):
        (PICTURES / f"{draw.__name__}.svg").write_text(picture(draw()), "utf-8")


if __name__ == "__main__":
    main()
