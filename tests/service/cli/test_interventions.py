"""The treatments as a reader at the terminal sees them."""

from click.testing import Result
from typer.testing import CliRunner

from analysis.interventions.shelf import BY_TOKEN, INTERVENTIONS
from service.cli import app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["interventions", *arguments], env={"COLUMNS": "200"})


def test_every_treatment_is_listed_with_its_factor() -> None:
    listed = run().stdout
    assert all(each.token in listed and each.factor.value in listed for each in INTERVENTIONS)


def test_a_page_is_printed_by_token() -> None:
    assert run("LSUV").stdout == BY_TOKEN["lsuv"].page + "\n"


def test_an_unknown_treatment_is_refused_in_one_line() -> None:
    outcome = run("magic")
    assert outcome.exit_code == 2
    assert outcome.stderr == "error: magic: no such treatment (gradient-health interventions lists them)\n"
