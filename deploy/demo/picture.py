"""Draw deploy/demo/report.png, the picture of a report in README.md: the demo's page down to its first drawing.

    python deploy/demo/picture.py

Needs playwright (`pip install -e '.[dev]'`) and chromium.
"""

import shutil
from pathlib import Path

from playwright.sync_api import FloatRect, sync_playwright

from analysis.pipeline import analyze
from analysis.render.html import render_html

HERE = Path(__file__).parent
SIZE = {"width": 1130, "height": 1500}
FLAGS = ["--no-sandbox", "--disable-lcd-text"]  # grey letters make a smaller file than coloured ones


def bottom_of(box: FloatRect) -> float:
    """Where the drawing ends."""
    return box["y"] + box["height"]


def main() -> None:
    """Analyse the bundled model and photograph its page."""
    page = render_html(analyze(HERE / "deep_sigmoid.onnx", HERE / "batch.npz"))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        tab = browser.new_page(viewport=SIZE, color_scheme="light", device_scale_factor=0.7)
        tab.set_content(page)
        drawing = tab.locator(".drawing").first.bounding_box()
        assert drawing is not None
        tab.screenshot(path=HERE / "report.png", clip={"x": 0, "y": 0, **SIZE, "height": bottom_of(drawing)})
        browser.close()


if __name__ == "__main__":
    main()
