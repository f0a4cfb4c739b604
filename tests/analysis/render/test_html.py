"""The page as a parser sees it: well formed, self-contained, true to the report, and deaf to what names say."""

import base64
import dataclasses
import hashlib
import math
import re
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from analysis.diagnosis.brief import brief_of
from analysis.diagnosis.rules import BY_ID
from analysis.facts import Flow, ModelFile, Provenance, Range, ValueFacts, Zone
from analysis.options import AnalysisOptions, parse_options
from analysis.render.html import content_security_policy, render_body, render_html, scripts
from analysis.report import Report, Severity
from analysis.report.parts import AdviceKind
from tests.analysis.diagnosis.builders import FAILS, LEARNS, flow, layer, measurement, probe, run
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import (
    HOSTILE,
    SHAPES,
    VANISHING,
    Element,
    by_hand,
    deep,
    every,
    facts,
    page_of,
    parsed,
    poisoned,
    rows,
    summary,
)
from tests.analysis.report.analyses import sick_report


@pytest.fixture(scope="module", params=[by_hand, sick_report], ids=["by hand", "analysed"])
def report(request: pytest.FixtureRequest) -> Report:
    return Report.model_validate(request.param())


@pytest.fixture(scope="module")
def page(report: Report) -> Element:
    return page_of(report)


# ------------------------------------------------------------------ a page


@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_is_well_formed_and_its_links_lead_somewhere(shape: str) -> None:
    page = page_of(SHAPES[shape]())
    (html,) = page.all("html")
    assert html.attributes["lang"] == "en"
    elements = [
        each
        for tag in ("a", "tr", "div", "header", "article", "section", "dl", "table", "title", "desc")
        for each in page.all(tag)
    ]
    ids = [each.attributes["id"] for each in elements if "id" in each.attributes]
    assert len(ids) == len(set(ids))
    assert {each.attributes["href"] for each in page.all("a")} <= {f"#{each}" for each in ids}


@pytest.mark.parametrize("shape", SHAPES)
def test_headings_go_down_one_at_a_time(shape: str) -> None:
    levels = [int(level) for level in re.findall(r"<h(\d)", render_html(SHAPES[shape]()))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_has_heads_and_scrolls_by_keyboard(page: Element) -> None:
    for box in page.all("div", **{"class": "scroll"}):
        assert box.attributes["tabindex"] == "0"
        assert box.attributes["aria-label"]
    for table in page.all("table"):
        scopes = {each.attributes.get("scope") for each in table.all("th")}
        assert scopes <= {"col", "row", "rowgroup"}
        assert table.all("tr")


@pytest.mark.parametrize("shape", SHAPES)
def test_no_table_has_more_than_four_columns_and_a_card_says_what_each_cell_is(shape: str) -> None:
    page = page_of(SHAPES[shape]())
    for table in page.all("table"):
        assert all(len(row.all("th") + row.all("td")) <= 4 for row in table.all("tr"))
    for table in page.all("table", **{"class": "cards"}):
        (body,) = table.all("tbody")
        assert all(cell.attributes["data-label"] for cell in body.all("td"))


def test_a_page_begins_with_its_doctype(report: Report) -> None:
    assert render_html(report).startswith("<!doctype html>\n<html")


def test_what_follows_the_remedies_is_folded_and_what_stands_before_is_not(page: Element) -> None:
    (main,) = page.all("main")
    parts = [child for child in main.children if isinstance(child, Element)]
    heads = [(part.tag, part.all("h2")[0].text) for part in parts if part.tag in {"section", "details"}]
    assert [tag for tag, _ in heads] == sorted((tag for tag, _ in heads), reverse=True)
    assert [words for tag, words in heads if tag == "section"] == [
        "Gradient flow by depth", "Findings", "Network map", "Proven remedies",
    ]  # fmt: skip
    assert all("open" not in part.attributes for part in page.all("details"))


def test_no_cell_says_nan() -> None:
    broken = replace(run("sgd", 1.0), curve=(1.0, math.nan))
    text = page_of(report_of(measurement(flow=VANISHING, probe=probe(broken)))).text
    assert "NaN" not in text
    assert "not finite" in text


# ------------------------------------------------------------------ self-contained


def test_nothing_is_loaded_and_nothing_runs_but_two_scripts_that_are_ours(report: Report, page: Element) -> None:
    text = render_html(report)
    run = [each for each in page.all("script") if not each.attributes]
    assert [each.children for each in run] == [[str(each)] for each in scripts()]
    data = [each.attributes for each in page.all("script") if each not in run]
    assert data == [{"type": "application/json"}] * len(page.all("figure"))
    for script in scripts():
        text = text.replace(script, "")
    for tag in ("link", "img", "iframe", "object", "embed", "form", "base", "use", "image", "foreignobject"):
        assert not page.all(tag), tag
    assert not re.search(r"<[^>]+\s(on\w+|src|style|xlink:href)\s*=", text)
    assert not re.search(r"url\(|@import|https?://|javascript:", text)


def named(element: Element) -> str:
    """As a policy names what is in an element."""
    (text,) = element.children
    assert isinstance(text, str)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_the_style_sheet_and_the_scripts_by_their_hashes_and_nothing_else(page: Element) -> None:
    (style,) = page.all("style")
    policy = dict(each.strip().split(" ", 1) for each in content_security_policy().split(";"))
    assert policy == {
        "default-src": "'none'",
        "style-src": named(style),
        "script-src": " ".join(named(each) for each in page.all("script") if not each.attributes),
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    (meta,) = [each for each in page.all("meta") if each.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert content_security_policy() == meta.attributes["content"] + "; frame-ancestors 'none'"


def test_a_page_for_a_frame_that_runs_nothing_has_no_script_and_allows_none(report: Report) -> None:
    page = parsed(render_html(report, scripted=False))
    assert all(each.attributes == {"type": "application/json"} for each in page.all("script"))
    (meta,) = [each for each in page.all("meta") if each.attributes.get("http-equiv") == "Content-Security-Policy"]
    assert "script-src 'none'" in meta.attributes["content"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_is_obeyed(name: str) -> None:
    page = render_html(poisoned(name))
    tree = parsed(page)
    harmless = parsed(render_html(poisoned("harmless")))
    assert [each.tag for each in every(tree)] == [each.tag for each in every(harmless)]
    assert [sorted(each.attributes) for each in every(tree)] == [sorted(each.attributes) for each in every(harmless)]
    assert not set(page) & set("\x00\x1b\x7f\x85\u2028\u202e\u2066\u200b\u00ad\ufeff\ud800")
    page.encode()


def test_a_name_is_shown_as_it_is_but_for_what_would_steer() -> None:
    page = page_of(poisoned("<b>\u202e'x'"))
    assert "<b>\\u202e'x'" in page.all("h1")[0].text
    assert summary(rows(page, "layers-table")[0]) == "layer-01 <b>\\u202e'x'"


def test_a_model_is_linked_only_below_the_report() -> None:
    report = report_of(measurement(probe=LEARNS))
    for href, links in (("variants/he/model.onnx", 1), ("javascript:alert(1)", 0), ("//evil.example", 0)):
        variant = report.variants[0].model_copy(update={"model": ModelFile(href=href, sha256="0")})
        changed = report.model_copy(update={"variants": (variant,)})
        assert len(parsed(render_html(changed, served=True)).all("a", href=href)) == links
        assert page_of(changed).all("a", href=href) == []  # in a file it would lead nowhere


# ------------------------------------------------------------------ true to the report


def test_the_first_words_are_three_tiles_the_cause_and_the_one_change(report: Report, page: Element) -> None:
    (main,) = page.all("main")
    first = next(child for child in main.children if isinstance(child, Element))
    assert first.tag == "header"
    (tiles,) = first.all("ul", **{"class": "tiles"})
    assert [each.text for each in tiles.all("h2")] == ["Gradient flow", "Loss over chance", "Confidence"]
    best = report.remedies[0]
    numbers = [[float(data.attributes["value"]) for data in tile.all("p")[0].all("data")] for tile in tiles.all("li")]
    assert numbers == [
        [report.gradient_flow.decades_rms, best.after.decades_rms], [best.proof.unchanged, best.proof.worst], [],
    ]  # fmt: skip
    brief = brief_of(report)
    (cause,) = first.all("p", **{"class": "cause"})
    assert cause.text == brief.cause
    assert brief.cause.startswith(cause.all("strong")[0].text)
    (change,) = first.all("p", **{"class": "change"})
    assert change.text == brief.change


def test_what_was_not_proven_does_not_look_like_the_change_to_make() -> None:
    page = page_of(
        report_of(measurement(flow=VANISHING, probe=FAILS), left_out=[("training", "budget_seconds reached")])
    )
    (top,) = page.all("header")
    assert "No treatment was proven to help: budget_seconds reached." in top.text
    assert not top.all("p", **{"class": "change"})
    assert "The one change" not in top.text
    assert "What may help" in top.text


def test_the_repaired_model_is_one_button_where_there_is_something_to_download(report: Report) -> None:
    name = report.remedies[0].variant
    with_file = tuple(
        each.model_copy(
            update={"model": ModelFile(href="variants/x/model.onnx", sha256="0") if each.id == name else None}
        )
        for each in report.variants
    )
    changed = report.model_copy(update={"variants": with_file})
    (button,) = parsed(render_html(changed, served=True)).all("a", **{"class": "button"})
    assert (button.text, button.attributes["href"]) == ("Download the repaired model", "variants/x/model.onnx")
    assert page_of(changed).all("a", **{"class": "button"}) == []
    elsewhere = parsed(f"<!doctype html><main>{render_body(changed, '/v1/analyses/7/')}</main>")
    (button,) = elsewhere.all("a", **{"class": "button"})
    assert button.attributes["href"] == "/v1/analyses/7/variants/x/model.onnx"


def test_inside_another_page_it_is_the_same(report: Report) -> None:
    whole, body = render_html(report, served=True), render_body(report, "")
    assert body.strip() in whole
    assert "<style" not in body


def test_a_healthy_page_asks_for_nothing() -> None:
    page = page_of(report_of(measurement(probe=LEARNS)))
    (top,) = page.all("header")
    assert [each.text for each in top.all("h2")] == ["Gradient flow", "Loss over chance", "Confidence"]
    assert "No rule found anything." in page.text
    assert "None is needed." in page.text


def test_an_inconclusive_page_does_not_say_that_all_is_well() -> None:
    page = page_of(report_of(measurement(flow=flow(None))))
    (section,) = page.all("section", id="remedies")
    assert "None was looked for: Neither gradient flow nor a training probe could be measured." in section.text


def test_findings_carry_their_evidence(report: Report, page: Element) -> None:
    (section,) = page.all("section", id="findings")
    said = {
        article.all("h3")[0].all("a")[0].text: [
            tuple(float(data.attributes["value"]) for data in row.all("data"))
            for row in article.all("tbody")[0].all("tr")
        ]
        for article in section.all("article")
    }
    assert said == {
        finding.rule: [
            tuple(number for number in (each.value, each.threshold, each.margin_decades) if number is not None)
            for each in finding.evidence.values()
        ]
        for finding in report.findings
    }


def test_layers_carry_the_numbers_of_the_report(report: Report, page: Element) -> None:
    table = rows(page, "layers-table")
    assert [summary(row) for row in table] == [f"{each.id} {each.name}" for each in report.layers]
    for row, measured in zip(table, report.variants[0].layers or (), strict=True):
        assert measured.weight_gradient is not None
        assert row[0].all("dl")[0].all("dd")[4].value == measured.weight_gradient.norm
        assert row[3].value == measured.update_ratio
    assert table[0][2].value == pytest.approx(report.gradient_flow.decades_rms)


def test_variants_and_remedies_carry_the_numbers_of_the_report(report: Report, page: Element) -> None:
    measured = [each for each in report.variants if each.measurement is not None]
    table = rows(page, "variants-table")
    assert [summary(row) for row in table] == [each.id for each in measured]
    for row, variant in zip(table, measured, strict=True):
        assert variant.measurement is not None
        assert variant.measurement.gradient_flow is not None
        assert row[1].value == variant.measurement.gradient_flow.decades_rms
        assert row[2].value == variant.measurement.gradient_flow.decades_norm
    remedies = rows(page, "remedies-table")
    assert [summary(row) for row in remedies] == [f"{each.rank}. {each.variant}" for each in report.remedies]
    assert [row[1].value for row in remedies] == [each.proof.worst for each in report.remedies]
    assert [row[2].value for row in remedies] == [each.after.decades_rms for each in report.remedies]
    assert [row[3].value for row in remedies] == [each.score for each in report.remedies]


def test_every_section_of_numbers_is_whole(report: Report, page: Element) -> None:
    refused = [each.id for each in report.variants if each.measurement is None]
    refused += [each.what for each in report.left_out]
    assert [row[0].text for row in rows(page, "refused-table")] == refused
    assert [row[0].text for row in rows(page, "effects-table")] == list(report.factor_effects)
    assert [row[0].text for row in rows(page, "interactions-table")] == list(report.factor_interactions)
    assert [row[0].text for row in rows(page, "options-table")] == list(AnalysisOptions.model_fields)
    assert [row[0].text for row in rows(page, "time-table")] == list(report.timings_seconds)
    runs = [run for each in report.variants if each.probe is not None for run in each.probe.runs]
    ends = [run.curve[-1] for run in runs]
    assert [row[3].value for row in rows(page, "training-table")] == pytest.approx(ends, rel=0, abs=0, nan_ok=True)


def test_the_loss_on_samples_held_out_stands_beside_the_one_on_the_others() -> None:
    ((run_cell, _, _, last),) = rows(page_of(SHAPES["held out"]()), "training-table")
    (held_out,) = [each for each in run_cell.all("div") if each.all("dt")[0].text == "held out"]
    assert (last.value, held_out.value) == (0.1, 0.8)


def test_what_costs_nothing_and_the_lines_of_code_are_there(report: Report, page: Element) -> None:
    tried = [each for each in report.advice if each.kind is not AdviceKind.WEIGHT_DECAY]
    said = [each.text for box in page.all("div", id="advice") for each in box.all("p")]
    assert said == [each.words for each in tried]
    (section,) = page.all("section", id="remedies")
    shown = ["".join(str(line) for line in each.children) for each in section.all("code") if "optim" in each.text]
    assert sorted(shown) == sorted(each.snippet for each in (*tried, *report.remedies) if each.snippet)


def test_advice_that_changes_nothing_is_folded_and_comes_last(report: Report, page: Element) -> None:
    (decay,) = [each for each in report.advice if each.kind is AdviceKind.WEIGHT_DECAY]
    (section,) = page.all("section", id="remedies")
    last = [child for child in section.children if isinstance(child, Element)][-1]
    assert last.tag == "details"
    assert last.all("p")[0].text == decay.words


def test_chosen_options_stand_out_from_defaults() -> None:
    page = page_of(report_of(options=parse_options({"seed": 7})))
    said = {row[0].text: (row[1].text, len(row[1].all("strong"))) for row in rows(page, "options-table")}
    assert (said["seed"], said["effort"]) == (("7", 1), ("standard (default)", 0))


def test_what_was_not_measured_says_why(report: Report, page: Element) -> None:
    assert "activation.dead_fraction: no activation function follows" in page.text
    facts = {row.all("th")[0].text: row.all("td")[0].text for row in page.all("tr") if len(row.all("td")) == 1}
    for what, why in report.absent.items():
        assert facts[f"no {what}"] == why
    refused = page_of(report_of(refused=[("he", "no weights")], left_out=[("training", "budget_seconds reached")]))
    said = [[cell.text for cell in row] for row in rows(refused, "refused-table")]
    assert said == [["he", "not applicable", "no weights"], ["training", "left out", "budget_seconds reached"]]


def test_the_pages_of_the_rules_that_found_something_are_there(report: Report, page: Element) -> None:
    for finding in report.findings:
        (rule,) = page.all("div", id=finding.rule)
        assert [each.text for each in rule.all("h3") if each.text != "Thresholds"] == list(BY_ID[finding.rule].sections)
    assert "Both witnesses: error" in page.all("div", id="GH101")[0].text


def test_a_thousand_layers_and_two_dozen_variants_are_a_page_within_reason() -> None:
    report = deep()
    start = time.process_time()
    page = render_html(report)
    assert time.process_time() - start < 10.0  # a tenth of it here; nothing quadratic
    assert page.count('<tr id="layer:') == 1000
    assert len(page) < 4_000_000


def test_more_rows_than_anyone_reads_are_cut_and_said() -> None:
    count = 2500
    layers = tuple(replace(layer(each), id=f"layer-{each:04d}") for each in range(1, count + 1))
    report = report_of().model_copy(update={"layers": layers})
    page = render_html(report)
    assert page.count('<tr id="layer:') == 2000
    assert "The first 2000 of 2500 rows" in page


def test_the_same_report_is_the_same_page(report: Report) -> None:
    assert render_html(report) == render_html(Report.from_json(report.to_json()))


def test_a_made_up_batch_is_said() -> None:
    patient = measurement()
    batch = dataclasses.replace(patient.batch, provenance=Provenance.SYNTHETIC, notes=("inputs were made up",))
    assert "inputs were made up" in page_of(report_of(replace(patient, batch=batch))).text


# ------------------------------------------------------------------ worked out by hand


def test_facts_of_the_flow_stand_by_name_and_those_that_nobody_measured_are_left_out() -> None:
    known = Flow(decades_rms=-1.5, leverage_log10=Range(least=-4.0, largest=1.25), zone=Zone.RED, trunk=("layer-01",))
    page = page_of(report_of().model_copy(update={"gradient_flow": known}))
    assert facts(page, "Flow of the unchanged model") == [
        ("zone", "red"), ("decades_rms", "\N{MINUS SIGN}1.5"), ("leverage_log10.least", "\N{MINUS SIGN}4"),
        ("leverage_log10.largest", "1.25"),
    ]  # fmt: skip


def test_inputs_and_outputs_are_told_with_their_shapes() -> None:
    report = report_of()
    inputs = (ValueFacts(name="x", dtype="float32", shape=(None, 3, "length")), ValueFacts(name="y", dtype="int64"))
    outputs = (ValueFacts(name="z", dtype="float16", shape=()),)
    model = replace(report.model, inputs=inputs, outputs=outputs, opset={"ai.onnx": 20, "custom": 1})
    said = dict(facts(page_of(report.model_copy(update={"model": model})), "Model"))
    assert (said["opset"], said["input x"]) == ("ai.onnx 20, custom 1", "float32 [?, 3, length]")
    assert (said["input y"], said["output z"]) == ("int64, open rank", "float16 []")


def test_options_are_told_as_they_are_written() -> None:
    chosen = {"train": ["größe"], "select": [], "effort": "quick", "thresholds": {"a": 1.5}, "seed": 0, "novelty": {}}
    said = dict(facts(page_of(report_of().model_copy(update={"options": chosen})), "Options"))
    assert (said["train"], said["thresholds"], said["effort"]) == ('["größe"]', '{"a": 1.5}', "quick")
    assert (said["select"], said["novelty"], said["seed"]) == ("none", "none", "0")
    assert (said["optimizer"], said["ignore"]) == ("none (default)", "none (default)")
    assert list(said) == [*AnalysisOptions.model_fields, "novelty"]
    older = facts(page_of(SHAPES["older"]()), "Options")
    assert older == [("options", "not recorded: the report is older than they are")]


def test_a_layer_has_the_numbers_of_its_id_or_none() -> None:
    report = report_of()
    first, _, third = report.variants[0].layers or ()
    variant = report.variants[0].model_copy(update={"layers": (replace(third, update_ratio=0.75), first)})
    table = rows(page_of(report.model_copy(update={"variants": (variant,)})), "layers-table")
    assert [row[3].text for row in table] == ["0.02", "\N{EN DASH}", "0.75"]
    assert ["measured" in row[0].text for row in table] == [False, True, False]
    bare = report.model_copy(update={"variants": (variant.model_copy(update={"layers": None}),)})
    assert [row[3].text for row in rows(page_of(bare), "layers-table")] == ["\N{EN DASH}"] * 3


def test_the_rules_of_findings_stand_once_each() -> None:
    (first, *_) = by_hand().findings
    order = (("GH303", "info"), ("GH201", "warning"), ("GH999", "error"), ("GH201", "error"), ("GH105", "warning"))
    findings = tuple(first.model_copy(update={"rule": rule, "severity": Severity(how)}) for rule, how in order)
    page = page_of(report_of().model_copy(update={"findings": findings}))
    (section,) = page.all("div", id="rules")
    assert [each.text.split()[0] for each in section.all("summary")] == ["GH303", "GH201", "GH105"]
