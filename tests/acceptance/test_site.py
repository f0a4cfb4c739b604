"""The pages at `/` as a person uses them: in Chromium, with and without scripts, with and without keys."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from analysis.facts import ModelFile
from analysis.report import Report
from service.access.key import Scope, issue
from service.app import create_app
from service.jobs.job import Job, now
from service.settings import Settings
from tests.acceptance.browsing import IN_A_BROWSER, barriers, tab
from tests.acceptance.conftest import SECONDS, wait_until
from tests.acceptance.conftest import Service as WholeService
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import LEARNS, by_hand, measurement
from tests.gallery import mlp, vectors, xavier
from tests.service.application import WITHOUT_WAITING, Service
from tests.service.server.live import live

pytestmark = IN_A_BROWSER
REPORT = "header#top .tiles"
REPAIRED = b"a repaired model"


def sick() -> Report:
    """One that is told in full, with a model that can be fetched."""
    report, file = (
        by_hand(),
        ModelFile(href="variants/relu+batch_norm+he/model.onnx", sha256=sha256(REPAIRED).hexdigest()),
    )
    kept = [
        each.model_copy(update={"model": file if each.id == "relu+batch_norm+he" else None}) for each in report.variants
    ]
    return report.model_copy(update={"variants": tuple(kept)})


@dataclass(frozen=True)
class Site(Service):
    """The application behind a real server; its jobs are claimed and ended by the test, as a worker would."""

    url: str = ""

    def claimed(self) -> Job:
        """The next job, as soon as it was sent."""
        wait_until(lambda: bool(self.parts.store.queued()), "a job")
        return self.claim()

    def tell(self, job: Job, stage: str, fraction: float) -> None:
        assert self.parts.store.keep(job, now(), stage, fraction)

    def analysed(self, report: Report, label: str) -> str:
        """The id of an analysis that has ended with this report."""
        files = {"model": (f"{label}.onnx", b"model"), "batch": ("batch.npz", b"batch")}
        address = f"{self.url}/v1/analyses?project={label}"
        answer = httpx.post(address, files=files, headers=WITHOUT_WAITING, timeout=SECONDS)
        self.succeed(report)
        return str(answer.json()["id"])


@contextmanager
def open_site(folder: Path, **settings: Any) -> Iterator[Site]:
    chosen = Settings(data_dir=folder, **settings)
    app = create_app(chosen)
    app.state.parts.objects.put(REPAIRED)
    with live(app, chosen, app.state.parts.drain) as server:
        yield Site(app, f"http://127.0.0.1:{server.address[1]}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("files")
    named = {"model": folder / 'it\'s; a "sick" net.onnx', "batch": folder / "batch.npz"}
    named["model"].write_bytes(mlp(12, "Sigmoid", xavier(), width=16))
    named["batch"].write_bytes(vectors())
    return named


@pytest.fixture(scope="module")
def compared(site: Site) -> dict[str, str]:
    """Two analyses that have ended, by their verdict."""
    healthy = report_of(measurement(probe=LEARNS))
    return {"healthy": site.analysed(healthy, "one"), "sick": site.analysed(sick(), "two")}


def choose(page: Any, files: dict[str, Path]) -> None:
    page.set_input_files("#model", files["model"])
    page.set_input_files("#batch", files["batch"])


def send(page: Any) -> None:
    page.get_by_role("button", name="Analyse").click()
    page.wait_for_url("**/analyses/*")


def shows(page: Any, words: str) -> None:
    page.locator("main").get_by_text(words).first.wait_for()


def test_with_a_real_worker_from_the_form_to_the_report(
    browser: Any, service: WholeService, files: dict[str, Path]
) -> None:
    with tab(browser, service.url) as visit:
        choose(visit.page, files)
        visit.page.get_by_label("Effort").select_option("quick")
        send(visit.page)
        visit.page.wait_for_selector(REPORT)
        assert "unhealthy" in visit.page.locator("h1").inner_text()
        visit.assert_quiet()


def test_progress_is_followed_through_a_reload_to_the_report_and_its_model(
    browser: Any, site: Site, files: dict[str, Path]
) -> None:
    with tab(browser, site.url) as visit:
        page = visit.page
        choose(page, files)
        send(page)
        job = site.claimed()
        site.tell(job, "prove", 0.71)
        shows(page, "71 %")
        assert page.locator(".stages [aria-current]").text_content() == "trains the most promising"
        page.reload()
        shows(page, "71 %")
        site.tell(job, "export", 0.95)
        shows(page, "95 %")
        site.succeed(sick(), job)
        page.wait_for_selector(REPORT)
        assert page.title().startswith("it's; a")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the repaired model").click()
        assert Path(download.value.path()).read_bytes() == REPAIRED
        visit.assert_quiet()


def test_progress_goes_on_after_the_connection_broke(browser: Any, site: Site, files: dict[str, Path]) -> None:
    with tab(browser, site.url) as visit:
        page = visit.page
        choose(page, files)
        send(page)
        job = site.claimed()
        site.tell(job, "measure", 0.18)
        shows(page, "18 %")
        page.route("**/events", lambda route: route.abort())
        page.reload()
        page.wait_for_function("() => document.getElementById('said').textContent.startsWith('The connection broke')")
        page.unroute("**/events")
        site.tell(job, "prove", 0.6)
        shows(page, "60 %")
        site.succeed(sick(), job)
        page.wait_for_selector(REPORT)
        assert {each.partition("net::")[2] for each in visit.complaints} == {"ERR_FAILED"}


def test_the_command_is_what_the_form_sends(browser: Any, site: Site, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "weights, one.bin").write_bytes(b"weights")
    for each in files.values():
        shutil.copy(each, tmp_path)
    with tab(browser, site.url) as visit:
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
        subprocess.run(["bash", "-c", f"{command} --silent"], cwd=tmp_path, check=True, capture_output=True)
        by_curl = site.claimed()
        send(page)
        by_form = site.claimed()
        visit.assert_quiet()
    site.succeed(sick(), by_curl)
    site.succeed(sick(), by_form)
    assert by_curl.id != by_form.id
    assert (by_curl.question, by_curl.labels) == (by_form.question, by_form.labels)
    assert by_form.labels == {"project": "it's & more"}
    assert '"freeze":["a*","\'b\'; $(c)"]' in by_form.question.options


def test_files_that_are_dropped_find_their_place(browser: Any, site: Site) -> None:
    drop = """names => {
      const data = new DataTransfer();
      for (const name of names) data.items.add(new File(["x"], name));
      document.getElementById("upload").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
      return ["model", "batch", "external_data"].map(name => [...document.getElementById(name).files].map(f => f.name));
    }"""
    with tab(browser, site.url) as visit:
        dropped = visit.page.evaluate(drop, ["w.data", "net.ONNX", "batch.npz", "w.bin"])
        assert dropped == [["net.ONNX"], ["batch.npz"], ["w.data", "w.bin"]]
        assert "external_data=@w.bin" in visit.page.locator("#curl").text_content()
        visit.assert_quiet()


def test_a_problem_is_told_at_the_field_that_it_names(browser: Any, site: Site, files: dict[str, Path]) -> None:
    with tab(browser, site.url) as visit:
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


def test_history_is_searched_and_two_are_compared(browser: Any, site: Site, compared: dict[str, str]) -> None:
    with tab(browser, f"{site.url}/analyses") as visit:
        page = visit.page
        page.get_by_label("Project").fill("one")
        page.keyboard.press("Enter")
        page.wait_for_url("**project=one**")
        assert page.locator("#analyses tbody tr").count() == 1
        page.goto(f"{site.url}/analyses?state=succeeded")
        page.locator(f"input[name=old][value='{compared['healthy']}']").check()
        page.locator(f"input[name=new][value='{compared['sick']}']").check()
        page.get_by_role("button", name="Compare").click()
        page.wait_for_selector("#finding-changes")
        assert page.locator("h1").inner_text().endswith("regression")
        assert page.locator(".two .tile").count() == 2
        page.get_by_role("link", name="The other way round").click()
        page.wait_for_url(f"**old={compared['sick']}**")
        assert "no regression" in page.locator("h1").inner_text()
        visit.assert_quiet()


def test_without_scripts_a_form_is_sent_and_its_page_refreshes_itself(
    browser: Any, site: Site, files: dict[str, Path]
) -> None:
    with tab(browser, site.url, java_script_enabled=False) as visit:
        page = visit.page
        choose(page, files)
        send(page)
        job = site.claimed()
        site.tell(job, "prove", 0.71)
        shows(page, "71 %")
        site.succeed(sick(), job)
        page.locator(REPORT).wait_for()
        page.locator(".confirm summary").click()
        page.get_by_role("button", name="Delete this analysis").click()
        page.wait_for_url("**/analyses")
        visit.assert_quiet()


def test_an_analysis_is_cancelled(browser: Any, site: Site, files: dict[str, Path]) -> None:
    with tab(browser, site.url) as visit:
        choose(visit.page, files)
        send(visit.page)
        visit.page.get_by_role("button", name="Cancel").click()
        shows(visit.page, "the analysis was cancelled")
        visit.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_pages_have_no_barrier_and_nothing_runs_over_the_edge(
    browser: Any, site: Site, compared: dict[str, str], width: int, scheme: str
) -> None:
    paths = ["/", "/analyses", f"/analyses/{compared['sick']}", "/analyses/nobody",
             f"/compare?old={compared['healthy']}&new={compared['sick']}"]  # fmt: skip
    with tab(browser, site.url, width=width, scheme=scheme) as visit:
        for path in paths:
            visit.page.goto(site.url + path)
            assert barriers(visit.page) == "", path
            assert visit.page.evaluate("document.documentElement.scrollWidth") == width, path
        assert [each for each in visit.complaints if "status of 404" not in each] == []


def test_the_form_is_filled_and_sent_by_keyboard_alone(browser: Any, site: Site, files: dict[str, Path]) -> None:
    with tab(browser, site.url) as visit:
        page, seen = visit.page, list[str]()
        page.set_input_files("#model", files["model"])  # the dialog of the system is not ours
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
        job = site.claimed()
        site.succeed(sick(), job)
        page.wait_for_selector(REPORT)
        assert '"effort":"quick"' in job.question.options
        visit.assert_quiet()


def key_of(site: Site, tenant: str) -> str:
    key, token = issue(tenant, [Scope.READ, Scope.WRITE], now())
    site.parts.keys.add(key)
    return token


def test_with_keys_a_tab_keeps_its_key_and_sees_its_own(browser: Any, tmp_path: Path, files: dict[str, Path]) -> None:
    with open_site(tmp_path, auth="keys") as site:
        alice, bob = key_of(site, "alice"), key_of(site, "bob")
        with tab(browser, site.url) as visit:
            page = visit.page
            page.get_by_label("API key").fill(f" {alice} ")
            page.keyboard.press("Enter")
            page.wait_for_selector("#upload")
            choose(page, files)
            assert alice not in page.locator("#curl").text_content()
            send(page)
            job = site.claimed()
            site.tell(job, "prove", 0.71)
            shows(page, "71 %")
            site.succeed(sick(), job)
            page.wait_for_selector(REPORT)
            address = page.url
            for name, content in (("Download the repaired model", REPAIRED), ("JUnit", b"<testsuites")):
                with page.expect_download() as download:
                    page.get_by_role("link", name=name).click()
                assert content in Path(download.value.path()).read_bytes()
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


def test_a_page_of_a_stranger_cannot_send_the_form(browser: Any, site: Site, tmp_path: Path) -> None:
    """As it lies on a disk, or on another site: its origin is not ours."""
    stranger = tmp_path / "stranger.html"
    fields = '<input name="model"><button>send</button>'
    form = f'<form method="post" action="{site.url}/" enctype="multipart/form-data">{fields}</form>'
    stranger.write_text(f"<!doctype html><title>stranger</title>{form}")
    before = site.parts.store.census()
    with tab(browser, stranger.as_uri()) as visit:
        visit.page.get_by_role("button").click()
        visit.page.wait_for_selector("text=cross-origin")
    assert site.parts.store.census() == before
