"""The command line: one file per command."""

import typer

from service.cli._bugs import telling_bugs
from service.cli.analyze import analyze
from service.cli.compare import compare
from service.cli.interventions import interventions
from service.cli.rules import rules
from service.cli.serve import serve

app = typer.Typer(
    name="gradient-health",
    help="Measure how gradients travel through an ONNX model, and prove which cure helps.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
for command in (analyze, compare, interventions, rules, serve):
    app.command()(telling_bugs(command))
