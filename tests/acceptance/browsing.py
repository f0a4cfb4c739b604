"""Chromium, driven: a page that is open, and everything that its browser complained about and asked for."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import SECONDS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = (
    "chromium is not installed" if CHROMIUM is None
    else "axe-playwright-python is not installed" if importlib.util.find_spec("axe_playwright_python") is None
    else "playwright is not installed" if importlib.util.find_spec("playwright") is None
    else ""
)  # fmt: skip
REQUIRED = os.environ.get("GRADIENT_HEALTH_TEST_REQUIRE_SERVERS") == "1"
IN_A_BROWSER = [pytest.mark.server, pytest.mark.skipif(bool(MISSING) and not REQUIRED, reason=MISSING)]
"""The marks of a file whose tests need one."""
UNFOLDED = "document.querySelectorAll('details').forEach(each => each.open = true)"


@dataclass
class Visit:
    """A tab."""

    page: Any
    address: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def assert_quiet(self, *, alone: bool = False) -> None:
        """No complaint, and nothing asked of anybody but this address; `alone`: nothing but this page."""
        assert self.complaints == []
        asked = [each for each in self.requests if not each.startswith("blob:")]
        assert {urlsplit(each).netloc for each in asked} == {urlsplit(self.address).netloc}
        assert not alone or asked == [self.address]


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser."""
    assert not MISSING, MISSING
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is installed

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def tab(browser: Any, address: str, *, width: int = 1280, scheme: str = "light", **how: Any) -> Iterator[Visit]:
    """An address in a tab of its own."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **how)
    context.set_default_timeout(SECONDS * 1000)
    seen = Visit(context.new_page(), address)
    seen.page.on("console", lambda message: seen.complaints.append(message.text))
    seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    seen.page.on("request", lambda request: seen.requests.append(request.url))
    try:
        seen.page.goto(address)
        yield seen
    finally:
        context.close()


def barriers(page: Any) -> str:
    """What axe finds that keeps somebody out; empty: nothing."""
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - only where it is installed

    page.evaluate(UNFOLDED)
    found = Axe().run(page)
    return found.generate_report() if found.violations_count else ""
