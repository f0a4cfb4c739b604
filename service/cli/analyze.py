"""`gradient-health analyze`: one analysis, here or on a server.

Exit codes: 0 healthy, 1 findings at or over --fail-on (with --baseline: new or worsened ones), 2 bad input, 3 service
error, 4 a bug of this program.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

from analysis.clock import Progress as ProgressCallback
from analysis.comparison.compare import compare, fails_beyond
from analysis.diagnosis.policy import policy
from analysis.errors import AnalysisError, BadOptions, in_one_line
from analysis.options import AnalysisOptions, Effort, LossName, OptimizerName, parse_options
from analysis.render.comparison import render_baseline
from analysis.render.formats import Publication
from analysis.report import Report
from analysis.report.gate import Gate
from service.cli._completion import selections, severities, words_of
from service.cli._configuration import find_configuration, read_configuration
from service.cli._exits import ExitCode
from service.cli._files import read_report
from service.cli._here import analyze_here
from service.cli._outputs import Formats, Output, outputs_of
from service.problems import Problem, ProblemError, problem_of


def analyze(
    model: Annotated[Path, typer.Argument(help="An ONNX model.", exists=True, dir_okay=False)],
    batch: Annotated[
        Path | None,
        typer.Argument(help="npz, npy, safetensors, TensorProto or Open Inference JSON.", exists=True, dir_okay=False),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report here.", dir_okay=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page here.", dir_okay=False)] = None,
    formats: Formats = None,
    output: Output = None,
    save_repaired: Annotated[
        Path | None, typer.Option(help="Write the proven remedies' models here, as <variant>.onnx.", file_okay=False)
    ] = None,
    server: Annotated[str | None, typer.Option(help="Analyse on this service, e.g. http://localhost:8000.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            help="info, warning or error, with or without ,inconclusive [default: error].", autocompletion=severities
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="An earlier report: its findings are accepted, and only new and worsened ones fail.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    effort: Annotated[
        str | None, typer.Option(help="quick, standard or thorough.", autocompletion=words_of(Effort))
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="cross_entropy, nll, mse, bce, graph or automatic.", autocompletion=words_of(LossName)),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="Your own optimiser: sgd or adam.", autocompletion=words_of(OptimizerName)),
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Your own learning rate: it is tried, too.")] = None,
    minibatch_size: Annotated[int | None, typer.Option(help="Samples in a step of your own training.")] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(help="Rules to apply: GH101, GH1, a name. Repeat.", autocompletion=selections),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Rules not to apply. Repeat.", autocompletion=selections)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Trainings side by side, here [default: the cores, up to 4].", min=1, max=64)
    ] = None,
    options: Annotated[str, typer.Option(help="Further options as JSON, see /v1/schema/options.")] = "{}",
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML with options [default: the nearest gradient-health.toml or pyproject.toml].", exists=True
        ),
    ] = None,
) -> None:
    """Analyse MODEL on BATCH and print what is wrong and what helps."""
    try:
        wanted = outputs_of(formats, output, {"json": json, "html": html}.items())
        file = _configuration(config)
        of_file = file.pop("fail_on", "error")
        gate = Gate.parse(of_file if fail_on is None else fail_on)
        known = None if baseline is None else read_report(baseline)
        own = {"optimizer": optimizer, "learning_rate": learning_rate, "minibatch_size": minibatch_size}
        chosen = _options(file, options, effort=effort, seed=seed, loss=loss, select=select, ignore=ignore, **own)
        with _progress() as progress:
            report = _report(model, batch, chosen, server, save_repaired, progress, processes)
        publication = Publication(gate=gate, path=model.as_posix())
        wanted.write(report, publication)
    except AnalysisError as error:
        raise _failure(problem_of(error), ExitCode.BAD_INPUT) from error
    except ProblemError as error:
        bad_input = 400 <= error.problem.status < 500 and error.problem.status != HTTPStatus.TOO_MANY_REQUESTS
        raise _failure(error.problem, ExitCode.BAD_INPUT if bad_input else ExitCode.SERVICE_ERROR) from error
    if save_repaired is not None:
        _tell_models(report, save_repaired)
    typer.echo(wanted.text(report, publication), nl=False)
    failed = gate.fails(report)
    if known is not None:
        comparison = compare(known, report, gate)
        typer.echo("\n" + render_baseline(comparison, str(baseline)), nl=False, err=wanted.printed is not None)
        failed = fails_beyond(comparison, gate)
    raise typer.Exit(ExitCode.FAILED if failed else ExitCode.PASSED)


def _configuration(path: Path | None) -> dict[str, Any]:
    """What the file says; its own mistakes are told with its name. Raises BadOptions."""
    found = find_configuration(Path.cwd()) if path is None else (path, read_configuration(path) or {})
    if found is None:
        return {}
    path, table = found
    try:
        Gate.parse(table.get("fail_on", "error"))
        policy(parse_options({key: value for key, value in table.items() if key != "fail_on"}))
    except BadOptions as error:
        raise BadOptions(in_one_line(error.detail, error.where, ""), where=str(path), hint=error.hint) from error
    return table


def _options(file: Mapping[str, Any], text: str, **given: Any) -> AnalysisOptions:
    """The file, then the JSON, then single options: later ones win. Raises BadOptions."""
    chosen = parse_options(text).model_dump(exclude_unset=True, mode="json")
    said = {name: value for name, value in given.items() if value not in (None, [])}
    options = parse_options({**file, **chosen, **said})
    policy(options)
    return options


def _report(
    model: Path,
    batch: Path | None,
    options: AnalysisOptions,
    server: str | None,
    models: Path | None,
    progress: ProgressCallback,
    processes: int | None,
) -> Report:
    try:
        if models is not None:
            models.mkdir(parents=True, exist_ok=True)
        if server is None:
            return analyze_here(model, batch, options, models, progress, processes)
        from service.cli._there import analyze_there  # noqa: PLC0415 - what speaks HTTP, only where it is spoken

        return analyze_there(server, model, batch, options, models, progress)
    except OSError as error:
        if models is None or not str(error.filename).startswith(str(models)):
            raise
        raise BadOptions(f"cannot write models: {error.strerror}", where=str(models)) from error


@contextmanager
def _progress() -> Iterator[ProgressCallback]:
    """A bar on a terminal, nothing elsewhere."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn())
    console = Console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        task = bar.add_task("loading", total=1.0)
        yield lambda stage, fraction: bar.update(task, description=stage, completed=fraction)


def _tell_models(report: Report, folder: Path) -> None:
    """Where the best remedy is, on standard error: the summary is on standard output."""
    files = {each.id: each.model.href for each in report.variants if each.model is not None}
    best = next((files[each.variant] for each in report.remedies if each.variant in files), None)
    name = "" if best is None else best.removeprefix("variants/").removesuffix("/model.onnx")
    typer.echo(f"best remedy: {folder / name}.onnx" if name else "no remedy was proven: no model is written", err=True)


def _failure(problem: Problem, code: ExitCode) -> typer.Exit:
    typer.echo(f"error: {in_one_line(problem.detail, problem.where, problem.hint)}", err=True)
    return typer.Exit(code)
