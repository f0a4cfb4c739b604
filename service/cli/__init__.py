"""The command line: one file per command."""

import os
from typing import Annotated, Final

import typer

from analysis.version import VERSION
from service.cli._bugs import telling_bugs
from service.cli.analyze import analyze
from service.cli.compare import compare
from service.cli.database import DATABASE
from service.cli.doctor import doctor
from service.cli.interventions import interventions
from service.cli.keys import KEYS
from service.cli.mlflow import mlflow
from service.cli.mlflow_webhook import mlflow_webhook
from service.cli.report import report
from service.cli.rules import rules
from service.cli.serve import serve
from service.cli.wandb import wandb
from service.cli.worker import worker

if "_GRADIENT_HEALTH_COMPLETE" in os.environ:  # a shell asks: fish takes each line of an explanation for a word
    os.environ.setdefault("TERMINAL_WIDTH", "10000")

app = typer.Typer(
    name="gradient-health",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: 80 columns, no colours in the log of a pipeline
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(f"gradient-health {VERSION}")
        raise typer.Exit


@app.callback()
def gradient_health(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version and exit.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """Measure how gradients travel through an ONNX model, and prove which cure helps."""


for command in (analyze, compare, doctor, interventions, mlflow, mlflow_webhook, report, rules, serve, wandb, worker):
    app.command()(telling_bugs(command))
GROUPS: Final = {
    "database": (DATABASE, "The tables behind a service: bring them up to date."),
    "keys": (KEYS, "API keys: make, list, rotate and revoke them."),
}
for name, (commands, what) in GROUPS.items():
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=what)
    for of_group, each in commands.items():
        group.command(of_group)(telling_bugs(each))
    app.add_typer(group, name=name)
