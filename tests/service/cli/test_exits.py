"""Exit codes that builds rely on."""

import click

from service.cli._exits import ExitCode


def test_the_codes_stay_what_they_are() -> None:
    assert {each.name: int(each) for each in ExitCode} == {
        "PASSED": 0,
        "FAILED": 1,
        "BAD_INPUT": 2,
        "SERVICE_ERROR": 3,
        "BUG": 4,
        "INTERRUPTED": 130,
    }


def test_wrong_usage_and_bad_input_look_alike() -> None:
    assert click.UsageError.exit_code == ExitCode.BAD_INPUT
