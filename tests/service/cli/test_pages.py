"""Pages of the catalogue on a terminal."""

import pytest
from rich.console import Console

from service.cli import _pages
from service.cli._pages import print_page, refuse

PAGE = "## Why\nA **bold** claim."


def test_a_pipe_gets_the_page_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_page(PAGE)
    assert capsys.readouterr().out == PAGE + "\n"


def test_a_reader_gets_it_rendered(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(_pages, "Console", lambda: Console(force_terminal=True))
    print_page(PAGE)
    shown = capsys.readouterr().out
    assert "bold" in shown
    assert "**" not in shown


def test_what_is_no_page_is_told_where_the_list_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert refuse("magic", "treatment", "interventions").exit_code == 2
    assert capsys.readouterr().err == "error: magic: no such treatment (gradient-health interventions lists them)\n"
