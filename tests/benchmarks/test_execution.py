"""The converted network against the original module, and the measurement against bare passes."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest
import torch
from torch.nn.functional import cross_entropy

from analysis.clock import Clock
from analysis.convert import convert
from analysis.experiment.experiment import Experiment
from analysis.measure.passes import measure
from analysis.model import check_model
from analysis.options import parse_options
from analysis.subject.preparation import prepare
from tests.benchmarks.conftest import Record
from tests.benchmarks.networks import CURRENT, NETWORKS, OLDER, Network, build
from tests.benchmarks.peers import peers, trainable
from tests.benchmarks.timing import ratios

pytestmark = pytest.mark.benchmark
ONE_FORWARD_THREE_BACKWARD = 2.3
"""Bare passes that they take at best."""
MANY_SMALL = {"mlp", "cnn", "bert"}


def step(module: torch.nn.Module, network: Network, weights: Sequence[torch.Tensor] = ()) -> Callable[[], object]:
    """Forward and backward, to these weights or to the parameters."""
    weights = weights or list(module.parameters())

    def run() -> object:
        output = module(network.inputs)
        logits = output if isinstance(output, torch.Tensor) else output[0]
        return torch.autograd.grad(cross_entropy(logits, network.targets), weights, allow_unused=True)

    return run


@pytest.mark.parametrize("how", [CURRENT, OLDER])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_step_of_the_converted_network(name: str, how: str, record: Record, record_peer: Record) -> None:
    network = build(name)
    exported = network.export(how)
    converted = convert(check_model(exported))
    steps = {"original": step(network.module, network), "converted": step(converted, network)}
    others = dict(peers())
    for peer, converter in others.items():
        with suppress(Exception):  # whatever somebody else's program ends in
            module = converter(exported).train(how == OLDER)
            run = step(module, network, trainable(module))
            run()
            steps[peer] = run
    network.module.train(how == OLDER)
    converted.train(how == OLDER)
    taken = ratios(steps)
    record(f"forward and backward, {name}, {how}", taken["converted"], target=1.05)
    for peer in others:
        record_peer(f"  {peer}", taken.get(peer))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_all_statistics_of_one_pass(name: str, record: Record) -> None:
    network = build(name)
    checked = check_model(network.export(CURRENT))
    subject = prepare(checked, network.batch(checked.inputs[0].name), parse_options({}))
    inputs, targets = subject.tensors()
    parameters = list(subject.converted.parameters())

    def bare() -> None:
        torch.autograd.grad(subject.loss(inputs, targets), parameters)

    alone, both = partial(measure, subject, cotangents=()), partial(measure, subject, cotangents=(0, 1))
    taken = ratios({"bare": bare, "pass A": alone, "A and two B": both})
    target = 1.35 if name in MANY_SMALL else 1.12
    record(f"all statistics of one pass, {name}", taken["pass A"], target=target)
    target = 1.3 * ONE_FORWARD_THREE_BACKWARD
    record(f"one forward, three backward, {name}", taken["A and two B"], target=target)


@pytest.mark.parametrize("name", ["mlp", "cnn", "resnet18"])
def test_the_factorial(name: str, record: Record) -> None:
    network, options = build(name), parse_options({})
    checked = check_model(network.export(OLDER))
    subject = prepare(checked, network.batch(checked.inputs[0].name), options)
    measurement = measure(subject, cotangents=())
    inputs, targets = subject.tensors()
    parameters = list(subject.converted.parameters())

    def bare() -> None:
        for _ in range(24):
            torch.autograd.grad(subject.loss(inputs, targets), parameters)

    def factorial() -> None:
        Experiment(subject, measurement, options, Clock(math.inf, None)).run_plan(cures=False)

    taken = ratios({"bare": bare, "factorial": factorial})
    target = 0.30 if name == "resnet18" else 0.80  # already ReLU: the swap repeats the baseline
    record(f"factorial of 24 variants by 24 bare passes, {name}", taken["factorial"], target=target)
