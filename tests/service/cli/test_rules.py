"""The rules as a reader at the terminal sees them."""

from click.testing import Result
from typer.testing import CliRunner

from analysis.diagnosis.rules import RULES
from service.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["rules", *arguments])


def test_every_rule_is_listed_with_its_name() -> None:
    listed = run().stdout
    assert all(rule.id in listed and rule.name in listed for rule in RULES)


def test_a_page_is_printed_by_id_or_name_with_its_thresholds() -> None:
    by_id, by_name = run("gh101").stdout, run("vanishing-gradient").stdout
    assert by_id == by_name
    assert by_id.startswith("# GH101 vanishing-gradient\n")
    assert "- `GH101.flow_decades`: -2.8" in by_id


def test_an_unknown_rule_is_refused_in_one_line() -> None:
    outcome = run("GH999")
    assert outcome.exit_code == 2
    assert outcome.stderr == "error: GH999: no such rule (gradient-health rules lists them)\n"
