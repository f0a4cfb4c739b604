"""The report as a person meets it: in Chromium, on a telephone and on a desk, by day and by night, on paper."""

import re
from pathlib import Path
from typing import Any

import pytest

from analysis.pipeline import analyze
from analysis.render.html import render_html
from tests.acceptance.browsing import IN_A_BROWSER, UNFOLDED, barriers, tab
from tests.acceptance.conftest import Service
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import RECURRENT, deep, poisoned
from tests.gallery import mlp, vectors, xavier

pytestmark = IN_A_BROWSER
WIDTHS = (360, 1440)
SCHEMES = ("light", "dark")
NAME = "a_very_long_name_without_any_place_to_break" * 8
CONTRAST = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
    .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const color = rgb(getComputedStyle(each).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
  };
  const faint = [];
  for (const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); walker.nextNode();) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || element.closest("title, desc")) continue;
    const style = getComputedStyle(element), drawn = element instanceof SVGElement;
    const back = element.matches(".band-label") ? rgb(getComputedStyle(document.querySelector(".band")).fill)
      : behind(element);
    const [a, b] = [light(rgb(drawn ? style.fill : style.color)), light(back)].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.push([walker.currentNode.textContent.trim(), (a + 0.05) / (b + 0.05)]);
  }
  return faint;
}"""
OUTSIDE = """() => [...document.querySelectorAll("body *")].filter(each => {
  if (each.parentElement.closest(".scroll, .diff") || each.closest("svg") && !each.matches("svg")) return false;
  const box = each.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > innerWidth + 0.5);
}).map(each => `${each.tagName} ${each.className} ${each.textContent.slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Addresses of files, as `analyze --html` leaves them."""
    folder = tmp_path_factory.mktemp("pages")
    reports = {
        "sick": analyze(mlp(12, "Sigmoid", xavier()), vectors()),
        "recurrent": report_of(RECURRENT),
        "long names": poisoned(NAME),
        "deep": deep(),
        "hostile": poisoned("</style></svg><script>document.title = 'obeyed'</script>\u202e"),
    }
    written = {name: folder / f"{name.replace(' ', '-')}.html" for name in reports}
    for name, path in written.items():
        path.write_text(render_html(reports[name]))
    return {name: path.as_uri() for name, path in written.items()}


PAGES = ("sick", "recurrent", "long names", "hostile")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_over_the_edge_of_a_screen(browser: Any, pages: dict[str, str], name: str, width: int) -> None:
    with tab(browser, pages[name], width=width) as seen:
        seen.page.evaluate(UNFOLDED)
        assert seen.page.evaluate("document.documentElement.scrollWidth") == width
        assert seen.page.evaluate(OUTSIDE) == []
        seen.assert_quiet(alone=True)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["sick", "recurrent"])
def test_every_word_can_be_read_by_day_and_by_night(
    browser: Any, pages: dict[str, str], name: str, scheme: str
) -> None:
    with tab(browser, pages[name], scheme=scheme) as seen:
        seen.page.evaluate(UNFOLDED)
        assert seen.page.evaluate(CONTRAST) == []
        back = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", back))) < 64) is (scheme == "dark")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["sick", "recurrent"])
def test_axe_finds_no_barrier(browser: Any, pages: dict[str, str], name: str, width: int) -> None:
    for scheme in SCHEMES:
        with tab(browser, pages[name], width=width, scheme=scheme) as seen:
            assert barriers(seen.page) == ""


# ------------------------------------------------------------------ figures that a reader may take apart


def live(seen: Any, section: str = "#flow") -> Any:
    """A figure after its button was pressed."""
    figure = seen.page.locator(f"{section} figure")
    figure.get_by_role("button", name="Interactive").click()
    return figure


def drawn(figure: Any) -> Any:
    """The picture in it."""
    return figure.locator("canvas").evaluate("canvas => canvas.toDataURL()")


def test_the_keys_read_what_the_table_of_the_drawing_says(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"]) as seen:
        figure = live(seen)
        assert not figure.locator(".drawing").is_visible()
        figure.get_by_role("application").press("ArrowRight")
        figure.get_by_role("application").press("ArrowRight")
        said = figure.get_by_role("status").inner_text()
        row = seen.page.locator("#flow-numbers tbody tr").nth(1)
        name, *values = (each.text_content().strip() for each in row.locator("th, td").all())
        assert said.startswith(f"{name}, in decades: baseline ")
        figure.get_by_role("application").press("+")
        assert figure.get_by_role("status").inner_text() == said
        known = [float(each.replace("\N{MINUS SIGN}", "-")) for each in re.findall(r" ([+\N{MINUS SIGN}][\d.]+)", said)]
        stated = [float(each.replace("\N{MINUS SIGN}", "-")) for each in values]
        assert known[: len(stated)] == pytest.approx(stated, abs=0.06)
        seen.assert_quiet(alone=True)


def test_a_figure_is_zoomed_and_its_curves_are_switched(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"]) as seen:
        figure = live(seen)
        first = drawn(figure)
        figure.get_by_role("button", name="Zoom in").press("Enter")
        seen.page.wait_for_function("before => document.querySelector('canvas').toDataURL() !== before", arg=first)
        figure.get_by_role("button", name="Show all").click()
        seen.page.wait_for_function("before => document.querySelector('canvas').toDataURL() === before", arg=first)
        curve = figure.get_by_role("button", name="by norm")
        curve.press("Space")
        assert curve.get_attribute("aria-pressed") == "false"
        seen.page.wait_for_function("before => document.querySelector('canvas').toDataURL() !== before", arg=first)
        figure.get_by_role("application").press("End")
        assert "by norm" not in figure.get_by_role("status").inner_text()
        seen.assert_quiet(alone=True)


def test_a_pointer_over_a_figure_reads_it_too(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["recurrent"]) as seen:
        figure = live(seen, "#through-time")
        figure.locator(".u-over").hover()
        assert re.match(r"step \d, in decades: ", figure.get_by_role("status").inner_text())
        seen.assert_quiet(alone=True)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_figure_that_was_taken_apart_has_no_barrier_and_stays_on_the_screen(
    browser: Any, pages: dict[str, str], width: int
) -> None:
    for scheme in SCHEMES:
        with tab(browser, pages["sick"], width=width, scheme=scheme) as seen:
            live(seen).get_by_role("application").press("Home")
            assert barriers(seen.page) == ""
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width
            seen.assert_quiet(alone=True)


def test_the_drawing_comes_back_and_is_what_is_printed(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"]) as seen:
        figure = live(seen)
        seen.page.emulate_media(media="print")
        assert figure.locator(".drawing").is_visible()
        assert not figure.locator(".live-plot").is_visible()
        assert not figure.locator(".live-switch").is_visible()
        seen.page.emulate_media(media="screen")
        figure.get_by_role("button", name="Interactive").press("Enter")
        assert figure.locator(".drawing").is_visible()
        assert not figure.locator(".live-plot").is_visible()


def test_a_script_that_is_not_of_the_page_does_not_run(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"]) as seen:
        seen.page.evaluate("""() => {
          const script = document.createElement("script");
          script.textContent = "document.title = 'obeyed'";
          document.body.append(script);
        }""")
        assert seen.page.title() != "obeyed"
        assert any("Content Security Policy" in each for each in seen.complaints)


# ------------------------------------------------------------------ what leads where


def test_a_layer_of_a_finding_leads_to_the_map_and_from_there_to_its_row(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"]) as seen:
        seen.page.locator("#findings article a", has_text="layer-01").first.click()
        stop = seen.page.locator(".map .stop:target")
        assert stop.is_visible()
        row = seen.page.locator("#layers-table tr").nth(1)
        assert not row.is_visible()
        stop.click()
        assert row.is_visible()


def test_a_thousand_layers_in_two_dozen_variants_are_open_at_once(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["deep"], width=1280) as seen:
        assert not seen.page.locator(".map .stop").first.is_visible()
        loaded = seen.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert loaded < 5_000  # half a second here, on a machine that is busy
        seen.assert_quiet(alone=True)


def test_words_in_a_drawing_are_as_large_as_small_print_on_a_telephone(browser: Any, pages: dict[str, str]) -> None:
    for width in WIDTHS:
        with tab(browser, pages["sick"], width=width) as seen:
            labels = seen.page.locator(".plot text:visible")
            assert min(each.bounding_box()["height"] for each in labels.all()) > 10.0


OVERLAPS = """() => {
  const words = [...document.querySelectorAll(".plot text, .names text, .legend li, figcaption")].filter(
    each => each.getClientRects().length);
  const boxes = words.map(each => each.getBoundingClientRect());
  const found = [];
  for (let i = 0; i < boxes.length; i++) for (let k = 0; k < i; k++) {
    const [a, b] = [boxes[i], boxes[k]];
    const slanting = [words[i], words[k]].some(each => each.getAttribute("transform")?.includes("rotate"));
    const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (!slanting && wide > 1 && high > 3) found.push([words[i].textContent, words[k].textContent]);
  }
  for (const [i, box] of boxes.entries())
    if (box.left < 0 || box.right > innerWidth) found.push([words[i].textContent, "the edge"]);
  return found;
}"""


@pytest.mark.parametrize("name", ["sick", "recurrent", "deep"])
def test_no_words_of_a_drawing_stand_over_others_or_over_the_edge(
    browser: Any, pages: dict[str, str], name: str
) -> None:
    for width in WIDTHS:
        with tab(browser, pages[name], width=width) as seen:
            assert seen.page.evaluate(OVERLAPS) == []


def test_no_name_runs_and_no_name_hides(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["hostile"]) as seen:
        assert seen.page.title().startswith("</style></svg><script>")
        assert "\\u202e" in seen.page.locator("h1").inner_text()
        seen.assert_quiet(alone=True)


def test_a_finding_leads_to_the_page_of_its_rule(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"]) as seen:
        rule = seen.page.locator("#GH101")
        assert not rule.is_visible()
        seen.page.locator("#findings a", has_text="GH101").first.click()
        assert rule.is_visible()
        assert "What it detects" in rule.inner_text()


def test_the_top_says_what_is_wrong_and_what_to_change_on_the_first_screen(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"], width=1280) as seen:
        for words in (".tiles", ".cause", ".change", ".diff"):
            box = seen.page.locator(words).bounding_box()
            assert box["y"] + box["height"] <= 900.0


def test_a_page_is_as_long_as_a_reader_bears_and_the_rest_is_folded(browser: Any, pages: dict[str, str]) -> None:
    for width, longest in ((1280, 4_000), (390, 6_000)):
        with tab(browser, pages["sick"], width=width) as seen:
            assert seen.page.evaluate("document.documentElement.scrollHeight") < longest
            assert not seen.page.locator("#variants").is_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_table_is_as_wide_as_its_frame_and_on_a_telephone_a_stack_of_cards(
    browser: Any, pages: dict[str, str], width: int
) -> None:
    with tab(browser, pages["sick"], width=width) as seen:
        seen.page.evaluate(UNFOLDED)
        wide = "[...document.querySelectorAll('table')].filter(each => each.scrollWidth > each.clientWidth + 1).length"
        assert seen.page.evaluate(wide) == 0
        first, last = (seen.page.locator(f"#layers-table tbody tr:first-child td:{each}") for each in (
            "nth-child(2)", "last-child"))  # fmt: skip
        beside = first.bounding_box()["y"] == last.bounding_box()["y"]
        assert beside is (width > 600)


def test_it_works_without_scripts_and_prints_what_is_folded(browser: Any, pages: dict[str, str]) -> None:
    with tab(browser, pages["sick"], java_script_enabled=False) as seen:
        assert seen.page.locator("h1").inner_text().startswith("mlp")
        assert seen.page.locator("#flow .drawing").is_visible()
        assert seen.page.locator("button").count() == 0
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert seen.page.locator("#GH101").is_visible()
        assert not seen.page.locator("nav").is_visible()
        assert seen.page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_served_page_obeys_its_own_policy_and_asks_for_nothing_else(
    browser: Any, service: Service, scheme: str
) -> None:
    job_id = service.submit(model=mlp(12, "Sigmoid", xavier()), batch=vectors())
    service.until_end(job_id)
    address = f"{service.url}/v1/analyses/{job_id}/report"
    with tab(browser, address, scheme=scheme) as seen:
        assert seen.page.locator("h1").inner_text().endswith("unhealthy")
        padding = seen.page.evaluate("getComputedStyle(document.querySelector('.recipe')).padding")
        assert padding != "0px"  # the style sheet is applied under the policy
        assert live(seen).locator("canvas").is_visible()  # the scripts run under it
        seen.assert_quiet(alone=True)
    with tab(browser, f"{service.url}/analyses/{job_id}", scheme=scheme) as seen:
        assert live(seen).locator("canvas").is_visible()
        seen.assert_quiet()


def test_the_command_line_writes_a_page_that_opens(browser: Any, tmp_path: Path) -> None:
    from typer.testing import CliRunner  # noqa: PLC0415 - after the marks, which may skip all of this

    from service.cli import app  # noqa: PLC0415

    model, target = tmp_path / "model.onnx", tmp_path / "report.html"
    model.write_bytes(mlp(3, "Sigmoid", xavier()))
    CliRunner().invoke(app, ["analyze", str(model), "--effort", "quick", "--html", str(target)])
    with tab(browser, target.as_uri()) as seen:
        assert seen.page.locator("h1").inner_text().startswith("model.onnx")
        seen.assert_quiet(alone=True)
