"""Which format goes where."""

from pathlib import Path

import pytest

from analysis.errors import BadOptions
from analysis.render.formats import BY_NAME, Publication
from service.cli._outputs import outputs_of
from tests.analysis.diagnosis.reports import report_of


def named(formats: list[str], output: str | None = None, **others: str | None) -> tuple[dict[str, str], str | None]:
    own = [(name, None if path is None else Path(path)) for name, path in others.items()]
    outputs = outputs_of(formats, None if output is None else Path(output), own)
    files = {str(path): form.name for path, form in outputs.files.items()}
    return files, None if outputs.printed is None else outputs.printed.name


@pytest.mark.parametrize(
    ("formats", "output", "files", "printed"),
    [
        ([], None, {}, None),
        (["junit"], None, {}, "junit"),
        (["junit=a.xml"], None, {"a.xml": "junit"}, None),
        (["junit="], None, {}, "junit"),
        (["junit"], "a.xml", {"a.xml": "junit"}, None),
        (["junit=a=b.xml", "sarif=b", "github"], None, {"a=b.xml": "junit", "b": "sarif"}, "github"),
        (["sarif=b", "junit"], "a.xml", {"b": "sarif", "a.xml": "junit"}, None),
    ],
)
def test_a_format_goes_to_its_file_or_to_the_output_or_is_printed(
    formats: list[str], output: str | None, files: dict[str, str], printed: str | None
) -> None:
    assert named(formats, output) == (files, printed)


def test_options_of_their_own_stand_beside() -> None:
    assert named(["md"], json="r.json", html=None) == ({"r.json": "json"}, "md")


@pytest.mark.parametrize(
    ("formats", "output", "told"),
    [
        (["pdf"], None, "'pdf' is no format"),
        (["JUNIT"], None, "one of json, html"),
        (["md", "github"], None, "md and github would both be written there"),
        (["md=a", "github=./a"], None, "a: md and github"),
        (["md=a"], "b", "--output: names a file for a --format without one"),
        ([], "b", "--output: names a file"),
        (["md", "github"], "b", "b: md and github"),
    ],
)
def test_what_cannot_be_meant_is_refused(formats: list[str], output: str | None, told: str) -> None:
    with pytest.raises(BadOptions, match=told):
        named(formats, output)


def test_files_are_written_all_or_none_and_the_summary_is_what_is_printed_by_default(tmp_path: Path) -> None:
    report, plainly = report_of(), Publication(path="m.onnx")
    outputs_of([f"sarif={tmp_path}/a", f"md={tmp_path}/b"], None).write(report, plainly)
    assert (tmp_path / "a").read_text() == BY_NAME["sarif"].render(report, plainly)
    assert (tmp_path / "b").read_text() == BY_NAME["md"].render(report, plainly)
    with pytest.raises(BadOptions, match="cannot be written"):
        outputs_of([f"sarif={tmp_path}/c", f"md={tmp_path}/no/d"], None).write(report, plainly)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b"}
    assert outputs_of([], None).text(report, plainly) == BY_NAME["text"].render(report, plainly)
    assert outputs_of(["md"], None).text(report, plainly) == BY_NAME["md"].render(report, plainly)
