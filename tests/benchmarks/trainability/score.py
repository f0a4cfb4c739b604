"""How well the product's verdict says what training does, beside the targets; and every network it gets wrong.

    python -m tests.benchmarks.trainability.score --labels FILE [FILE ...] [--effort standard|quick] [--limit N]
        [--treatments] [--samples N] [--out scores.json] [--reuse FOLDER]

(a) fails SGD: unhealthy, or a finding GH105. (b) fails SGD and Adam: unhealthy. (c) fails SGD: an error that
statistics alone found, without a training (effort quick). No answer, and inconclusive, count as wrong.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from analysis.options import Effort
from tests.benchmarks.trainability.configurations import SEQUENCE, Family
from tests.benchmarks.trainability.confusion import Confusion, count
from tests.benchmarks.trainability.label import Labelled, read_labels
from tests.benchmarks.trainability.prediction import SAMPLES, Inquiry, Prediction, isolation, predict
from tests.benchmarks.trainability.training import Run

COLUMNS: Final = ("balanced accuracy", "precision", "recall", "specificity")


@dataclass(frozen=True)
class Scored:
    """A network, what training did, and what the product says with and without a probe."""

    labelled: Labelled
    prediction: Prediction
    static: Prediction

    @property
    def family(self) -> Family:
        """Kind of network."""
        return self.labelled.configuration.family


Outcome = Callable[[Scored], tuple[bool, bool | None]]
"""What is true, and what was said."""


def fails_sgd(scored: Scored) -> tuple[bool, bool | None]:
    """Question (a)."""
    return scored.labelled.label.fails_sgd, scored.prediction.fails_sgd


def fails_both(scored: Scored) -> tuple[bool, bool | None]:
    """Question (b)."""
    return scored.labelled.label.fails_both, scored.prediction.fails_both


def has_static_error(scored: Scored) -> tuple[bool, bool | None]:
    """Question (c)."""
    return scored.labelled.label.fails_sgd, bool(scored.static.static_errors)


def score_all(labelled: Sequence[Labelled], inquiry: Inquiry) -> list[Scored]:
    """Ask the product about every network."""
    quick = replace(inquiry, effort=Effort.QUICK, treatments=False)
    scored = []
    with isolation() as child:
        for place, each in enumerate(labelled):
            static = predict(child, each.configuration, quick)
            full = static if inquiry.effort is Effort.QUICK else predict(child, each.configuration, inquiry)
            scored.append(Scored(each, full, static))
            _tell(f"{place + 1}/{len(labelled)} {full.seconds:.0f} s {full.verdict} {each.configuration.name}")
    return scored


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


# ------------------------------------------------------------------ tables


def groups(scored: Sequence[Scored]) -> Iterator[tuple[str, list[Scored]]]:
    """Each family, then feed-forward, sequence, all."""
    for family in Family:
        yield family, [each for each in scored if each.family is family]
    yield "feed-forward", [each for each in scored if each.family not in SEQUENCE]
    yield "sequence", [each for each in scored if each.family in SEQUENCE]
    yield "all", list(scored)


def confusion(scored: Iterable[Scored], outcome: Outcome) -> Confusion:
    """Counts of one question."""
    return count(outcome(each) for each in scored)


def tabulate(scored: Sequence[Scored]) -> str:
    """The tables of all questions."""
    parts = [
        _table("(a) fails SGD: unhealthy or GH105", scored, fails_sgd),
        _table("(b) fails both: unhealthy", scored, fails_both),
        _table("(c) fails SGD: an error without training", scored, has_static_error),
        _by_rule(scored),
        _answers(scored),
    ]
    return "\n\n".join(parts)


def _table(title: str, scored: Sequence[Scored], outcome: Outcome) -> str:
    lines = [f"{title:<42}{'number':>7}{'fail':>6}" + "".join(f"{column:>20}" for column in COLUMNS)]
    for name, members in groups(scored):
        counted = confusion(members, outcome)
        shares = (counted.balanced_accuracy, counted.precision, counted.recall, counted.specificity)
        if counted.number:
            lines.append(
                f"{name:<42}{counted.number:>7}{counted.failures:>6}" + "".join(f"{each!s:>20}" for each in shares)
            )
    return "\n".join(lines)


def _by_rule(scored: Sequence[Scored]) -> str:
    """Precision and recall of each rule at error level."""
    rules = sorted({rule for each in scored for rule in each.static.static_errors})
    lines = [f"{'(c) by rule':<42}{'fires':>7}{'':>6}{'precision':>20}{'recall':>20}"]
    for rule in rules:
        counted = count((each.labelled.label.fails_sgd, rule in each.static.static_errors) for each in scored)
        fires = counted.hits + counted.false_alarms
        lines.append(f"{rule:<42}{fires:>7}{'':>6}{counted.precision!s:>20}{counted.recall!s:>20}")
    return "\n".join(lines)


def _answers(scored: Sequence[Scored]) -> str:
    """How often there was no verdict, and what the verdicts cost."""
    verdicts = Counter(each.prediction.verdict for each in scored)
    seconds = [each.prediction.seconds for each in scored]
    return (
        f"verdicts: {', '.join(f'{number} {verdict}' for verdict, number in verdicts.most_common())}\n"
        f"CPU seconds: mean {sum(seconds) / max(len(seconds), 1):.1f}, largest {max(seconds, default=0):.0f}"
    )


# ------------------------------------------------------------------ what is wrong


def list_wrong(scored: Sequence[Scored]) -> str:
    """False alarms and misses of questions (a) and (b), false errors of (c), with what is needed to see why."""
    questions: dict[str, Outcome] = {"(a)": fails_sgd, "(b)": fails_both, "(c)": has_static_error}
    lines: list[str] = []
    for question, outcome in questions.items():
        for kind, truth in (("false alarm", False), ("missed", True)):
            wrong = [each for each in scored if _is_wrong(outcome(each), truth)]
            if question == "(c)" and truth:
                continue
            lines.append(f"\n{question} {kind}: {len(wrong)}")
            lines += [_describe(each) for each in sorted(wrong, key=lambda each: list(Family).index(each.family))]
    return "\n".join(lines)


def _is_wrong(outcome: tuple[bool, bool | None], truth: bool) -> bool:
    true, said = outcome
    return true is truth and said is not true


def _describe(scored: Scored) -> str:
    prediction, label = scored.prediction, scored.labelled.label
    findings = ", ".join(_finding(prediction, rule) for rule in reversed(prediction.findings))
    static = " ".join(sorted(scored.static.static_errors))
    return "\n".join(
        (
            f"  {scored.labelled.configuration.name}",
            f"    training  {_losses({_run_name(run): run.final for run in label.runs})}",
            f"    probe     {_losses(prediction.probe)}",
            f"    verdict   {prediction.verdict}; {findings or 'no findings'}; static errors: {static or 'none'}",
            *(f"    error     {line}" for line in prediction.error.strip().splitlines()[-1:]),
            f"    flow      {' '.join(f'{name} {value:g}' for name, value in prediction.flow.items())}",
        )
    )


def _finding(prediction: Prediction, rule: str) -> str:
    """`GH101 error (flow_decades -7.4)`."""
    numbers = ", ".join(f"{name} {value:.3g}" for name, value in prediction.evidence.get(rule, {}).items())
    return f"{rule} {prediction.findings[rule]}{f' ({numbers})' if numbers else ''}"


def _run_name(run: Run) -> str:
    return f"{run.optimizer} {run.rate:g}"


def _losses(losses: Any) -> str:
    return ", ".join(f"{name}: {value:.3g}" for name, value in losses.items()) or "none"


def to_json(scored: Sequence[Scored]) -> list[dict[str, Any]]:
    """Everything, one record a network."""
    return [
        {
            "name": each.labelled.configuration.name,
            "configuration": each.labelled.configuration.to_json(),
            "label": each.labelled.label.to_json(),
            "prediction": asdict(each.prediction),
            "static": asdict(each.static),
        }
        for each in scored
    ]


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, nargs="+", required=True, help="what label.py wrote")
    parser.add_argument("--effort", type=Effort, choices=list(Effort), default=Effort.STANDARD)
    parser.add_argument("--treatments", action="store_true", help="whole analyses; changes no verdict, takes long")
    parser.add_argument("--limit", type=int, help="only the first so many networks")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="uploaded with each network")
    parser.add_argument("--out", type=Path, help="JSON with everything")
    parser.add_argument("--reuse", type=Path, help="folder of answers: ask only what it does not have")
    arguments = parser.parse_args()
    labelled = [each for file in arguments.labels for each in read_labels(file)][: arguments.limit]
    scored = score_all(labelled, Inquiry(arguments.effort, arguments.treatments, arguments.reuse, arguments.samples))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(to_json(scored), indent=1) + "\n")
    sys.stdout.write(f"{tabulate(scored)}\n{list_wrong(scored)}\n")


if __name__ == "__main__":
    main()
