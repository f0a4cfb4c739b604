"""Draws, trains and writes down: one JSON line a network, as it goes; what the file has already is not trained again.

python -m tests.benchmarks.trainability.label --seed 1 --count 260 --out labels.jsonl
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.benchmarks.trainability.configurations import Configuration, Family, counts_for, draw
from tests.benchmarks.trainability.training import Label, label


@dataclass(frozen=True)
class Labelled:
    """A network and what training did."""

    configuration: Configuration
    label: Label


def label_all(configurations: Sequence[Configuration], out: Path) -> list[Labelled]:
    """Labels of all these networks in their order, those already in the file from there."""
    known = {each.configuration.name: each for each in read_labels(out)} if out.exists() else {}
    labelled = []
    for place, configuration in enumerate(configurations):
        each = known.get(configuration.name)
        if each is None or each.configuration != configuration:
            each = Labelled(configuration, label(configuration))
            _append(out, each)
            _tell(f"{place + 1}/{len(configurations)} {_verdict(each.label)} {configuration.name}")
        labelled.append(each)
    return labelled


def read_labels(path: Path) -> Iterator[Labelled]:
    """What a file has; a last line cut short is left out."""
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        yield Labelled(Configuration.from_json(record["configuration"]), Label.from_json(record["label"]))


def summarize(labelled: Sequence[Labelled]) -> str:
    """How many of each family fail."""
    families: dict[Family, list[Label]] = defaultdict(list)
    for each in labelled:
        families[each.configuration.family].append(each.label)
    lines = [f"{'family':<16}{'number':>8}{'fail SGD':>10}{'fail both':>11}{'seconds each':>14}"]
    for family, labels in families.items():
        sgd, both = sum(each.fails_sgd for each in labels), sum(each.fails_both for each in labels)
        seconds = sum(each.seconds for each in labels) / len(labels)
        lines.append(f"{family:<16}{len(labels):>8}{sgd:>10}{both:>11}{seconds:>14.1f}")
    return "\n".join(lines)


def _append(out: Path, labelled: Labelled) -> None:
    configuration = labelled.configuration
    record = {
        "name": configuration.name,
        "configuration": configuration.to_json(),
        "label": labelled.label.to_json(),
    }
    cut_short = out.exists() and not out.read_bytes().endswith(b"\n")
    with out.open("a") as file:
        file.write("\n" * cut_short + json.dumps(record) + "\n")


def _verdict(label: Label) -> str:
    return "fails both" if label.fails_both else "fails SGD " if label.fails_sgd else "trains    "


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="of the draw; the tests of the product use 1")
    parser.add_argument("--count", type=int, default=260, help="networks of all families together")
    parser.add_argument("--out", type=Path, required=True, help="JSON lines, continued where it ended")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    labelled = label_all(draw(arguments.seed, counts_for(arguments.count)), arguments.out)
    sys.stdout.write(summarize(labelled) + "\n")


if __name__ == "__main__":
    main()
