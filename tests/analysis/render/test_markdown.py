"""Markdown, parsed as a forge parses it: CommonMark with tables and HTML; what a forge makes links of is looked for."""

import re
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from analysis.diagnosis.brief import brief_of
from analysis.facts import OutputFacts
from analysis.render._visible import visible
from analysis.render.markdown import render_markdown
from analysis.report import Report, Verdict
from tests.analysis.diagnosis.builders import FAILS, measurement
from tests.analysis.diagnosis.reports import report_of
from tests.analysis.render.pages import HOSTILE, SHAPES, VANISHING, by_hand, poisoned, told_in_full

FORGE = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OURS = {"<code>", "</code>", "<br>"}
NAMES = (
    *HOSTILE,
    "a|b",
    "a\\|b",
    "a`b``c",
    "`",
    "x\ny",
    "| --- | --- |",
    "**bold** _em_ ~~gone~~",
    "[click](javascript:alert(1))",
    "![](http://tracker/x.png)",
    "https://evil.example www.evil.example",
    "@everyone #12 GH-12 a@b.cc",
    "$x$ :tada:",
    " leading",
    "&lt;b&gt;",
)


def every(tokens: list[Token]) -> list[Token]:
    return [each for token in tokens for each in (token, *every(token.children or []))]


def tokens_of(report: Report) -> list[Token]:
    return every(FORGE.parse(render_markdown(report)))


def text_of(tokens: list[Token]) -> str:
    return "".join(each.content for each in tokens if each.type in {"text", "code_inline", "text_special"})


def tables(tokens: list[Token]) -> list[list[int]]:
    """Cells a row, table by table."""
    found: list[list[int]] = []
    for token in tokens:
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append(0)
        elif token.type in {"td_open", "th_open"}:
            found[-1][-1] += 1
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(shape: str) -> None:
    assert all(len(set(rows)) == 1 for rows in tables(tokens_of(SHAPES[shape]())))


def test_verdict_recipe_findings_remedies_layers_and_what_was_left_out_are_told() -> None:
    report = by_hand()
    text, tokens = render_markdown(report), tokens_of(report)
    assert text.splitlines()[0] == "## 🔴 `model.onnx`: unhealthy"
    headings = [tokens[place + 1].content for place, each in enumerate(tokens) if each.type == "heading_open"]
    assert [each.split(" (")[0] for each in headings[1:]] == [
        "Findings", "Proven remedies", "Worst layers", "Left out",
    ]  # fmt: skip
    findings, *_ = tables(tokens)
    assert len(findings) - 1 == len(report.findings)
    for words in ("flow_decades -6 (limit -2.8)", "`relu+batch_norm+he`", "training of x: budget_seconds reached"):
        assert words in text, words
    assert len(text) < 1 << 20, "the limit of a job's summary"


def test_a_healthy_report_has_no_empty_table() -> None:
    assert tables(tokens_of(SHAPES["healthy"]())) == []


def shape_of(report: Report) -> Any:
    tokens = tokens_of(report)
    return tables(tokens), [each.type for each in tokens if each.type.endswith("_open")]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_no_name_is_obeyed(name: str) -> None:
    tokens = tokens_of(poisoned(name))
    kinds = {each.type for each in tokens}
    assert not kinds & {"link_open", "image", "html_block", "s_open", "em_open", "fence", "code_block", "softbreak"}
    assert {each.content for each in tokens if each.type == "html_inline"} <= OURS
    assert shape_of(poisoned(name)) == shape_of(poisoned("plain"))
    text = render_markdown(poisoned(name))
    for line in text.splitlines():
        outside = "".join(line.split("`")[::2])
        outside = re.sub("<code>.*?</code>|&#[0-9]+;", "", outside)
        assert not [each for each in ("@", "://", "www.", "#12", "GH-1") if each in outside]
        assert not set(outside) & set("\u202e\u2066\u200b\u2028\x00\x1b\ud800")


@pytest.mark.parametrize("name", ["fc_1", "/0/Gemm", "模型", "a|b", "a\\|b", "x`y", "[a](b)", "<b>", "*a*"])
def test_a_name_is_read_as_it_is(name: str) -> None:
    assert f"layer-01 {visible(name)}" in text_of(tokens_of(poisoned(name)))


# ------------------------------------------------------------------ line by line


def test_every_table_is_told_line_by_line() -> None:
    _, _, *parts = render_markdown(told_in_full()).split("\n\n")
    assert "\n\n".join(parts).splitlines() == [
        "### Findings",
        "",
        "|  | rule | evidence | layers | confidence |",
        "| --- | --- | --- | --- | --- |",
        "| 🔴 error | **GH101** vanishing-gradient | flow_decades -6 (limit -2.8) | `layer-01 fc1` | high |",
        "| 🟡 warning | **GH105** does-not-learn<br>caused by GH101, GH202 | loss 1 (limit 0.7) |  | low |",
        "",
        "### Proven remedies (loss over chance after a short training)",
        "",
        "|  | variant | worst seed | unchanged |",
        "| --- | --- | --- | --- |",
        "| 1 | `relu+batch_norm+he` (weights redrawn) | 0.26 | 1.23 |",
        *["| 2 | `relu` | 0.50 |  |"] * 4,
        "",
        "### Worst layers",
        "",
        "| layer | gradient norm | over weight norm | leverage |",
        "| --- | --- | --- | --- |",
        "| `layer-01 fc1` |  | 5.00e-01 |  |",  # flagged
        "| `layer-02 fc2` | 1.00e-01 | 1.23e-02 | 10^-5.0 |",
        "",
        "### Left out",
        "",
        *(f"- treatment {each}: budget" for each in range(5)),
        "- and 2 more",
    ]


def test_the_recipe_is_a_list_with_a_label_for_every_sentence() -> None:
    report = by_hand()
    invented = report.model_copy(update={"batch": report.batch.model_copy(update={"provenance": "synthetic"})})
    brief = brief_of(invented)
    title, recipe, *_ = render_markdown(invented).split("\n\n")
    assert title == "## 🔴 `model.onnx`: unhealthy (on a made-up batch)"
    assert recipe.splitlines() == [
        f"- **Batch:** {brief.batch}", f"- **Cause:** {brief.cause}", "- **First:** Take Adam.", "- **Change:** Do it.",
        f"- **Moved:** {brief.moved}", f"- **Cost:** {brief.cost}", f"- **Sure:** {brief.certainty}",
    ]  # fmt: skip
    unproven = report_of(measurement(flow=VANISHING, probe=FAILS), left_out=[("training of x", "budget")])
    assert f"\n- **Tried:** {brief_of(unproven).change}\n" in render_markdown(unproven)
    read = report.model_copy(update={"outputs": OutputFacts(reading="Read behind a softmax.", link="Softmax")})
    assert "\n- **Read:** Read behind a softmax.\n" in render_markdown(read)


def test_a_verdict_has_its_mark_and_its_words() -> None:
    titles = {
        each: render_markdown(report_of().model_copy(update={"verdict": each})).split("\n")[0] for each in Verdict
    }
    assert titles == {
        Verdict.HEALTHY: "## 🟢 `model.onnx`: healthy", Verdict.AT_RISK: "## 🟡 `model.onnx`: at risk",
        Verdict.UNHEALTHY: "## 🔴 `model.onnx`: unhealthy", Verdict.INCONCLUSIVE: "## ⚪ `model.onnx`: inconclusive",
    }  # fmt: skip


def test_what_is_told_of_what_was_left_out_is_counted_from_the_sixth_on() -> None:
    for count, end in ((5, "- treatment 4: b\n"), (6, "- treatment 4: b\n- and 1 more\n")):
        told = render_markdown(report_of(left_out=[(f"treatment {each}", "b") for each in range(count)]))
        assert told.endswith(end)


def test_every_sign_that_markdown_or_a_forge_would_obey_is_a_reference() -> None:
    """The code points of CommonMark's own signs: ` is 96, < 60, @ 64, a leading or lonely _ 95, / after a colon 58."""
    report = report_of(name=" a`<@")
    assert render_markdown(report).startswith("## 🟢 <code> a&#96;&#60;&#64;</code>: healthy")
    left = render_markdown(report_of(left_out=[("_x_y_ http://a.b www.c GH-1", "~$#&|[]*\\")]))
    assert left.splitlines()[-1] == (
        "- &#95;x_y&#95; http&#58;//a.b www&#46;c GH&#45;1: &#126;&#36;&#35;&#38;&#124;&#91;&#93;&#42;&#92;"
    )
