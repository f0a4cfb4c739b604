"""A healthy measurement made of plain numbers, to be spoilt one number at a time."""

from dataclasses import replace
from typing import Any

from analysis.facts import (
    ActivationStats,
    BatchFacts,
    Flow,
    GradientStats,
    Layer,
    LayerStats,
    LossFacts,
    Measurement,
    Outcome,
    ParameterInfo,
    Probe,
    ProbeKind,
    Provenance,
    Range,
    Run,
    StartEnd,
    WeightStats,
)


def layer(number: int) -> Layer:
    return Layer(
        id=f"layer-{number:02d}",
        name=f"fc{number}",
        op="Gemm",
        depth=number,
        on_trunk=True,
        activation="Relu",
        parameters={"weight": ParameterInfo(initializer=f"w{number}", shape=(8, 8))},
        output=f"z{number}",
        pre_activation=f"z{number}",
        activated=f"a{number}",
    )


def stats(number: int, **changes: Any) -> LayerStats:
    activation = ActivationStats(
        mean=0.0, std=1.0, zero_fraction=0.0, non_finite=0, observations=256, dead_fraction=0.0, collapse_log10=-0.5
    )
    healthy = LayerStats(
        id=f"layer-{number:02d}",
        weight_gradient=GradientStats(norm=0.1, rms=0.01, max_abs=0.05, zero_fraction=0.0, non_finite=0),
        activation=activation,
        weight=WeightStats(norm=5.0, rms=0.1),
        update_ratio=0.02,
        leverage_log10=0.5,
    )
    return replace(healthy, **changes)


def with_activation(number: int, **changes: Any) -> LayerStats:
    whole = stats(number)
    assert whole.activation is not None
    return replace(whole, activation=replace(whole.activation, **changes))


def flow(rms: float = 0.0, norm: float | None = None, **changes: Any) -> Flow:
    healthy = Flow(
        decades_rms=rms,
        decades_norm=rms if norm is None else norm,
        leverage_log10=Range(least=0.2, largest=1.0),
        input_rms=1.0,
        nonlinearity_coefficient=1.2,
        trunk=("layer-01", "layer-02", "layer-03"),
    )
    return replace(healthy, **changes)


def run(optimizer: str = "sgd", end: float = 0.4, seed: int = 0, outcome: Outcome | None = None) -> Run:
    return Run(
        optimizer=optimizer,
        learning_rate=0.1,
        seed=seed,
        outcome=outcome or (Outcome.LEARNT if end < 0.7 else Outcome.STALLED),
        curve=(1.0, end),
        weight_norm=StartEnd(start=1.0, end=1.1),
        moved={},
        limit=0.7,
    )


def probe(*runs: Run, kind: ProbeKind = ProbeKind.LEARNING) -> Probe:
    best = max(min(r.curve[-1] for r in runs if r.seed == seed) for seed in {r.seed for r in runs})
    return Probe(kind=kind, steps=50, samples=256, minibatch=32, best_loss_over_chance=best, runs=runs)


LEARNS = probe(run("sgd", 0.4), run("adam", 0.3))
FAILS = probe(run("sgd", 1.0), run("adam", 1.0))


def measurement(**changes: Any) -> Measurement:
    healthy = Measurement(
        layers=tuple(map(layer, (1, 2, 3))),
        stats=tuple(map(stats, (1, 2, 3))),
        batch=BatchFacts(sha256="0", size=256, provenance=Provenance.UPLOADED, constant_inputs=False),
        loss=LossFacts(name="cross_entropy", chosen="", value=2.3, chance=2.3, targets=Provenance.UPLOADED),
        flow=flow(),
        total_gradient_norm=1.0,
        total_weight_norm=10.0,
        gradient_dot_weight=0.0,
        batch_statistics=False,
        recurrent=False,
        normalized=False,
        convolutional=False,
        attentive=False,
        cotangents=2,
    )
    return replace(healthy, **changes)
