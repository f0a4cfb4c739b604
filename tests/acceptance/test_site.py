"""The pages at `/` as a person uses them: in Chromium, with and without scripts, with and without keys."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import SECONDS, Service, serving, wait_until
from tests.gallery import he, mlp, vectors, xavier

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MISSING = (
    "chromium is not installed" if CHROMIUM is None
    else "axe-playwright-python is not installed" if importlib.util.find_spec("axe_playwright_python") is None
    else "playwright is not installed" if importlib.util.find_spec("playwright") is None
    else ""
)  # fmt: skip
REQUIRED = os.environ.get("GRADIENT_HEALTH_TEST_REQUIRE_SERVERS") == "1"
pytestmark = [pytest.mark.server, pytest.mark.skipif(bool(MISSING) and not REQUIRED, reason=MISSING)]
QUICK = '{"effort": "quick"}'
REPORT = "header#top .tiles"


@dataclass
class Visit:
    """A tab, with everything its browser complained about and asked for."""

    page: Any
    home: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def assert_quiet(self) -> None:
        assert self.complaints == []
        assert {urlsplit(each).netloc for each in self.requests if not each.startswith("blob:")} == {
            urlsplit(self.home).netloc
        }


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert not MISSING, MISSING
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where it is installed

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@contextmanager
def tab(browser: Any, home: str, *, width: int = 1280, scheme: str = "light", **how: Any) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **how)
    context.set_default_timeout(SECONDS * 1000)
    visit = Visit(context.new_page(), home)
    visit.page.on("console", lambda message: visit.complaints.append(message.text))
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("request", lambda request: visit.requests.append(request.url))
    try:
        visit.page.goto(home)
        yield visit
    finally:
        context.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    contents = {"model": mlp(12, "Sigmoid", xavier(), width=16), "batch": vectors(), "healthy": mlp(3, "Relu", he())}
    named = {"model": 'it\'s; a "sick" net.onnx', "batch": "batch.npz", "healthy": "healthy.onnx"}
    for name, content in contents.items():
        (folder / named[name]).write_bytes(content)
    return {name: folder / each for name, each in named.items()}


@pytest.fixture(scope="module")
def compared(running: Service, files: dict[str, Path]) -> dict[str, str]:
    """Two analyses that have ended, by their model."""
    running.wait_until_ready()
    ids = {}
    for name, label in (("healthy", "one"), ("model", "two")):
        parts = {"model": files[name].read_bytes(), "batch": files["batch"].read_bytes(), "options": QUICK}
        answer = running.post(f"?project={label}", prefer="respond-async", **parts)
        ids[name] = str(answer.json()["id"])
        running.until_end(ids[name])
    return ids


def choose(page: Any, files: dict[str, Path], effort: str = "quick") -> None:
    page.set_input_files("#model", files["model"])
    page.set_input_files("#batch", files["batch"])
    page.get_by_label("Effort").select_option(effort)


def test_from_the_form_over_progress_to_the_report(browser: Any, service: Service, files: dict[str, Path]) -> None:
    with tab(browser, service.url) as visit:
        page = visit.page
        choose(page, files, "standard")
        page.get_by_role("button", name="Analyse").click()
        page.wait_for_url("**/analyses/*")
        moved = "() => document.getElementById('progress').value > 0.1"
        page.wait_for_function(moved)
        page.reload()  # and goes on where it was
        page.wait_for_function(moved)
        page.wait_for_selector(REPORT)
        assert "unhealthy" in page.locator("h1").inner_text()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the repaired model").click()
        assert download.value.suggested_filename.endswith(".onnx")
        assert Path(download.value.path()).stat().st_size > 1000
        visit.assert_quiet()


def test_progress_goes_on_after_the_connection_broke(browser: Any, tmp_path: Path, files: dict[str, Path]) -> None:
    """The server is killed while it is watched, and started again on the same port."""
    with serving(tmp_path) as service, tab(browser, service.url) as visit:
        choose(visit.page, files, "standard")
        visit.page.get_by_role("button", name="Analyse").click()
        visit.page.wait_for_url("**/analyses/*")
        service.kill_everything()
        visit.page.wait_for_function("() => document.getElementById('said').textContent.startsWith('The connection')")
        service.start()
        visit.page.wait_for_selector(REPORT)
        assert all("ERR_CONNECTION_REFUSED" in each or "ERR_INCOMPLETE" in each for each in visit.complaints)


def test_the_command_is_what_the_form_sends(
    browser: Any, service: Service, files: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "weights, one.bin").write_bytes(b"weights")
    with tab(browser, service.url) as visit:
        page = visit.page
        choose(page, files)
        page.set_input_files("#external_data", tmp_path / "weights, one.bin")
        page.locator("#more-options > summary").click()
        page.get_by_label("Freeze").fill("a*\n 'b'; $(c) ")
        page.get_by_label("Thresholds").fill('{"GH101.flow_decades": -3.5}')
        page.get_by_label("Learning rate").fill("1e-3")
        page.locator("#labels > summary").click()
        page.get_by_label("Project").fill("it's & more")
        page.locator("#as-curl > summary").click()
        command = page.locator("#curl").inner_text()
        for each in (files["model"], files["batch"]):
            shutil.copy(each, tmp_path)
        subprocess.run(["bash", "-c", f"{command} --silent"], cwd=tmp_path, check=True, capture_output=True)
        page.get_by_role("button", name="Analyse").click()
        page.wait_for_url("**/analyses/*")
        visit.assert_quiet()
    by_curl, by_form = (
        service.row(each["id"]) for each in reversed(service.get("/v1/analyses").json()["analyses"][:2])
    )
    assert by_curl.id != by_form.id
    assert (by_curl.question, by_curl.labels) == (by_form.question, by_form.labels)
    assert by_form.labels == {"project": "it's & more"}
    assert '"freeze":["a*","\'b\'; $(c)"]' in by_form.question.options


def test_files_that_are_dropped_find_their_place(browser: Any, service: Service) -> None:
    drop = """names => {
      const data = new DataTransfer();
      for (const name of names) data.items.add(new File(["x"], name));
      document.getElementById("upload").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
      return ["model", "batch", "external_data"].map(name => [...document.getElementById(name).files].map(f => f.name));
    }"""
    with tab(browser, service.url) as visit:
        dropped = visit.page.evaluate(drop, ["w.data", "net.ONNX", "batch.npz", "w.bin"])
        assert dropped == [["net.ONNX"], ["batch.npz"], ["w.data", "w.bin"]]
        assert "external_data=@w.bin" in visit.page.locator("#curl").text_content()
        visit.assert_quiet()


def test_a_problem_is_told_at_the_field_that_it_names(browser: Any, service: Service, files: dict[str, Path]) -> None:
    with tab(browser, service.url) as visit:
        page = visit.page
        page.get_by_role("button", name="Analyse").click()
        page.wait_for_selector("#model-problem")
        choose(page, files)
        page.locator("#more-options > summary").click()
        page.get_by_label("Seed").fill("minus one")
        page.locator("#more-options > summary").click()
        page.get_by_role("button", name="Analyse").click()
        complaint = page.locator("[id='options.seed-problem']")
        complaint.wait_for()
        assert complaint.is_visible(), "what is folded is opened"
        assert "minus one" in complaint.inner_text()
        assert page.evaluate("document.activeElement.id") == "options.seed"
        assert page.locator("#model-problem").count() == 0
        assert page.locator("[role=alert]").count() == 1
        assert all("status of 400" in each for each in visit.complaints)


def test_history_is_searched_and_two_are_compared(browser: Any, service: Service, compared: dict[str, str]) -> None:
    with tab(browser, f"{service.url}/analyses") as visit:
        page = visit.page
        page.get_by_label("Project").fill("one")
        page.keyboard.press("Enter")
        page.wait_for_url("**project=one**")
        assert page.locator("#analyses tbody tr").count() == 1
        page.goto(f"{service.url}/analyses?state=succeeded")
        page.locator(f"input[name=old][value='{compared['healthy']}']").check()
        page.locator(f"input[name=new][value='{compared['model']}']").check()
        page.get_by_role("button", name="Compare").click()
        page.wait_for_selector("#finding-changes")
        assert page.locator("h1").inner_text().endswith("regression")
        assert page.locator(".two .tile").count() == 2
        page.get_by_role("link", name="The other way round").click()
        page.wait_for_url(f"**old={compared['model']}**")
        assert "no regression" in page.locator("h1").inner_text()
        visit.assert_quiet()


def test_without_scripts_a_form_is_sent_and_its_page_refreshes_itself(
    browser: Any, service: Service, files: dict[str, Path]
) -> None:
    with tab(browser, service.url, java_script_enabled=False) as visit:
        page = visit.page
        choose(page, files)
        page.get_by_role("button", name="Analyse").click()
        page.locator(REPORT).wait_for()
        assert "unhealthy" in page.locator("h1").inner_text()
        page.locator(".confirm summary").click()
        page.get_by_role("button", name="Delete this analysis").click()
        page.wait_for_url("**/analyses")
        visit.assert_quiet()


def test_an_analysis_is_cancelled(browser: Any, service: Service, files: dict[str, Path]) -> None:
    with tab(browser, service.url) as visit:
        choose(visit.page, files, "thorough")
        visit.page.get_by_role("button", name="Analyse").click()
        visit.page.get_by_role("button", name="Cancel").click()
        visit.page.wait_for_selector("text=the analysis was cancelled")
        visit.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_have_no_barrier_and_nothing_runs_over_the_edge(
    browser: Any, service: Service, compared: dict[str, str], width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - only where it is installed

    paths = ["/", "/analyses", f"/analyses/{compared['model']}", "/analyses/nobody",
             f"/compare?old={compared['healthy']}&new={compared['model']}"]  # fmt: skip
    with tab(browser, service.url, width=width, scheme=scheme) as visit:
        for path in paths:
            visit.page.goto(service.url + path)
            visit.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
            found = Axe().run(visit.page)
            assert found.violations_count == 0, (path, found.generate_report())
            assert visit.page.evaluate("document.documentElement.scrollWidth") == width, path
        assert [each for each in visit.complaints if "status of 404" not in each] == []


def test_the_form_is_filled_and_sent_by_keyboard_alone(browser: Any, service: Service, files: dict[str, Path]) -> None:
    with tab(browser, service.url) as visit:
        page, seen = visit.page, list[str]()
        page.set_input_files("#model", files["healthy"])  # the dialog of the system is not ours
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(40):
            page.keyboard.press("Tab")
            seen.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
            if seen[-1] == "options.effort":
                page.keyboard.type("quick")
            if seen[-1] == "Analyse" and "options.effort" in seen:
                break
        page.keyboard.press("Enter")
        page.wait_for_selector(REPORT)
        visit.assert_quiet()


def key_of(service: Service, tenant: str) -> str:
    command = ["python", "-m", "service", "keys", "create", "--tenant", tenant]
    environment = {**os.environ, "GRADIENT_HEALTH_DATA_DIR": str(service.data)}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_with_keys_a_tab_keeps_its_key_and_sees_its_own(browser: Any, tmp_path: Path, files: dict[str, Path]) -> None:
    with serving(tmp_path, auth="keys") as service:
        alice, bob = key_of(service, "alice"), key_of(service, "bob")
        with tab(browser, service.url) as visit:
            page = visit.page
            page.get_by_label("API key").fill(f" {alice} ")
            page.keyboard.press("Enter")
            page.wait_for_selector("#upload")
            choose(page, files, "standard")
            assert alice not in page.locator("#curl").text_content()
            page.get_by_role("button", name="Analyse").click()
            page.wait_for_url("**/analyses/*")
            page.wait_for_selector(REPORT)
            address = page.url
            for name in ("Download the repaired model", "JUnit"):
                with page.expect_download() as download:
                    page.get_by_role("link", name=name).click()
                assert Path(download.value.path()).stat().st_size > 100
            page.get_by_role("link", name="History").click()
            page.wait_for_selector("#analyses")
            visit.assert_quiet()
            assert all("gh_" not in each for each in visit.requests), "a key is no part of an address"
        with tab(browser, address) as visit:
            page = visit.page
            page.get_by_label("API key").fill("gh_wrong")
            page.keyboard.press("Enter")
            page.wait_for_selector("text=there is no such API key")
            page.get_by_label("API key").fill(bob)
            page.keyboard.press("Enter")
            page.wait_for_selector("text=there is no such analysis")
            page.goto(address)
            page.get_by_role("button", name="Forget the API key").click()
            page.wait_for_selector("#key:focus")
            assert page.evaluate("sessionStorage.length") == 0


def test_a_page_of_a_stranger_cannot_send_the_form(browser: Any, service: Service, tmp_path: Path) -> None:
    """As it lies on a disk, or on another site: its origin is not ours."""
    stranger = tmp_path / "stranger.html"
    fields = '<input name="model"><button>send</button>'
    form = f'<form method="post" action="{service.url}/" enctype="multipart/form-data">{fields}</form>'
    stranger.write_text(f"<!doctype html><title>stranger</title>{form}")
    before = len(service.get("/v1/analyses").json()["analyses"])
    with tab(browser, stranger.as_uri()) as visit:
        visit.page.get_by_role("button").click()
        visit.page.wait_for_selector("text=cross-origin")
    wait_until(lambda: len(service.get("/v1/analyses").json()["analyses"]) == before, "nothing was made of it")
