"""What to try before the network is changed: another optimiser, a larger learning rate; and what decay would do.

Of really trained networks that SGD failed on, 120 of 323 train with Adam. A network whose start is sound but whose
steps explode at learning rate 0.1 trains there with clipping (30 of 46, without 0); a network with a bad start does
not. Neither clipping nor decay cures a vanishing gradient, and neither is credited for it.
"""

import math
from collections.abc import Sequence
from typing import Final

from analysis.diagnosis.snippet import training_snippet
from analysis.facts import Clip, ClipKind, GradientStep, LargerRate, Measurement, Outcome, Probe, ProbeKind, Run
from analysis.facts.after_step import as_trained, decayed
from analysis.report import Advice
from analysis.report.parts import AdviceKind

_HAPPENED: Final = {
    Outcome.DIVERGED: "diverged",
    Outcome.OSCILLATING: "went up and down",
    Outcome.STALLED: "stalled",
    Outcome.SLOW: "is slow",
}
_NAMES: Final = {"sgd": "SGD", "adam": "Adam"}


def advise(baseline: Measurement, larger: LargerRate | None, weight_decay: float) -> tuple[Advice, ...]:
    """What costs nothing, first what was proven by a training."""
    baseline = as_trained(baseline)
    if baseline.trains_unfolded:
        return ()  # it would be advice for a network that nobody trains
    cards = (
        _loss(baseline),
        _normalization(baseline),
        _standard_inputs(baseline.probe),
        _own_rate(baseline.probe),
        _warm_up(baseline.probe),
        _adam(baseline.probe),
        _larger_rate(baseline, larger),
        _decay(baseline, weight_decay),
    )
    return tuple(card for card in cards if card is not None)


def _loss(baseline: Measurement) -> Advice | None:
    """The loss that scores are for, which the probe trains by in place of the user's."""
    outputs, probe = baseline.outputs, baseline.probe
    if outputs is None or outputs.off_logarithms is None or probe is None:
        return None
    run = probe.working("sgd")
    if run is None:
        return None
    return Advice(
        kind=AdviceKind.LOSS,
        words="CrossEntropyLoss in place of NLLLoss, or a LogSoftmax in front of that: by the cross-entropy of these "
        f"scores {_NAMES[run.optimizer]} at {run.learning_rate:g} learns, in {_training(run, probe)} the loss fell to "
        f"{run.end:.2f} of chance.",
        values={"loss_over_chance": run.end, "learning_rate": run.learning_rate},
        snippet="criterion = torch.nn.CrossEntropyLoss()  # in place of torch.nn.NLLLoss()",
    )


def _standard_inputs(probe: Probe | None) -> Advice | None:
    """The user's own optimiser and rate on inputs of the scale that they are for."""
    if probe is None or probe.standardized is None:
        return None
    run, own = probe.standardized, max(probe.own, key=lambda run: run.end)
    return Advice(
        kind=AdviceKind.STANDARD_INPUTS,
        words=f"On standardised inputs {_NAMES[run.optimizer]} at {run.learning_rate:g}, as you train, learns: in "
        f"{_training(run, probe)} the loss fell to {run.end:.2f} of chance, as they are it came to {own.end:.2f}.",
        values={"loss_over_chance": run.end, "unchanged": own.end, "learning_rate": run.learning_rate},
        snippet=_snippet(run, GradientStep(), probe),
    )


def _own_rate(probe: Probe | None) -> Advice | None:
    """What learns in place of the user's own optimiser and rate."""
    if probe is None or not probe.own or probe.own_learns:
        return None
    own = max(probe.own, key=lambda run: run.end)
    learns = probe.working(own.optimizer)
    if learns is None:
        return None
    return Advice(
        kind=AdviceKind.LEARNING_RATE,
        words=f"{_NAMES[own.optimizer]} at {own.learning_rate:g}, as you train, {_HAPPENED[own.outcome]} "
        f"({own.end:.2f} of chance after {_training(own, probe)}). {_NAMES[learns.optimizer]} at "
        f"{learns.learning_rate:g} learns: in {_training(learns, probe)} the loss fell to {learns.end:.2f} of chance.",
        values={
            "loss_over_chance": learns.end,
            "unchanged": own.end,
            "learning_rate": learns.learning_rate,
            "own_learning_rate": own.learning_rate,
        },
        snippet=_snippet(learns, GradientStep(), probe),
    )


def _warm_up(probe: Probe | None) -> Advice | None:
    """The user's own optimiser and rate, reached slowly."""
    if probe is None or probe.warmed is None:
        return None
    run, own = probe.warmed, max(probe.own, key=lambda run: run.end)
    return Advice(
        kind=AdviceKind.WARM_UP,
        words=f"{_NAMES[run.optimizer]} at {run.learning_rate:g} learns after a warm-up: with a rate that rises over "
        f"{run.warm_up} steps the loss fell to {run.end:.2f} of chance in {_training(run, probe)}, without it came to "
        f"{own.end:.2f}.",
        values={
            "loss_over_chance": run.end,
            "unchanged": own.end,
            "learning_rate": run.learning_rate,
            "warm_up_steps": run.warm_up,
        },
        snippet=_snippet(run, GradientStep(), probe),
    )


def _normalization(baseline: Measurement) -> Advice | None:
    """BatchNormalization with the statistics of usual minibatches, where the user's own keep it from learning."""
    trial, probe = baseline.normalization, baseline.probe
    if trial is None or trial.learns or probe is None:
        return None
    own, run = trial.run, trial.without
    usual = "Minibatches whose own statistics are used" if trial.frozen else f"Minibatches of {trial.usual_minibatch}"
    instead = "with frozen statistics" if trial.frozen else f"with minibatches of {trial.minibatch}"
    return Advice(
        kind=AdviceKind.NORMALIZATION,
        words=f"{usual} train the unchanged network: {_NAMES[run.optimizer]} at {run.learning_rate:g} came to "
        f"{run.end:.2f} of chance in {_steps(run)}, {instead} to {own.end:.2f} in {_steps(own)}.",
        values={
            "loss_over_chance": run.end,
            "unchanged": own.end,
            "learning_rate": run.learning_rate,
            "minibatch": trial.usual_minibatch,
            "own_minibatch": trial.minibatch,
        },
    )


def _adam(probe: Probe | None) -> Advice | None:
    if probe is None or probe.own or probe.crams or not probe.fails_sgd_alone:
        return None
    adam, sgd = _best(probe, "adam"), _best(probe, "sgd")
    return Advice(
        kind=AdviceKind.ADAM,
        words=f"Adam learns where SGD does not: try it before changing the network. In {_training(adam, probe)} the "
        f"loss fell to {adam.end:.2f} of chance, with SGD to {sgd.end:.2f}.",
        values={"loss_over_chance": adam.end, "unchanged": sgd.end, "learning_rate": adam.learning_rate},
        snippet=_snippet(adam, GradientStep(), probe),
    )


def _larger_rate(baseline: Measurement, larger: LargerRate | None) -> Advice | None:
    if larger is None or baseline.probe is None:
        return None
    run, norm = larger.clipped, larger.max_norm
    step = GradientStep(clip=Clip(kind=ClipKind.GLOBAL_NORM, max_norm=norm, active=True))
    values = {
        "loss_over_chance": run.end,
        "unchanged": larger.without.end,
        "learning_rate": run.learning_rate,
        "max_norm": norm,
        "gradient_norm": baseline.total_gradient_norm,
    }
    usual = ""
    if baseline.sample_gradients is not None:
        values["median_sample_norm"] = baseline.sample_gradients.median_norm
        usual = f" The median gradient of a sample has norm {baseline.sample_gradients.median_norm:.2g}."
    return Advice(
        kind=AdviceKind.LARGER_LEARNING_RATE,
        words=f"Clipping the gradient to norm {norm:g} permits a learning rate of {run.learning_rate:g}: in "
        f"{_training(run, baseline.probe)} the loss fell to {run.end:.2f} of chance, without clipping it "
        f"{_HAPPENED[larger.without.outcome]}.{usual}",
        values=values,
        snippet=_snippet(run, step, baseline.probe),
    )


def _decay(baseline: Measurement, weight_decay: float) -> Advice | None:
    """Arithmetic, not a training: a few steps cannot show what decay is for."""
    norm = baseline.total_gradient_norm
    if not weight_decay or not norm or not math.isfinite(norm) or not baseline.total_weight_norm:
        return None
    after = decayed(baseline, weight_decay).total_gradient_norm
    share = weight_decay * baseline.total_weight_norm / norm
    return Advice(
        kind=AdviceKind.WEIGHT_DECAY,
        words=f"Weight decay {weight_decay:g} (L2) adds a pull of {share:.2g} times the gradient and takes its norm "
        f"from {norm:.3g} to {after:.3g}. It leaves the flow through the layers as it is and cures no vanishing.",
        values={"pull_over_gradient": share, "gradient_norm": norm, "gradient_norm_after": after},
    )


def _best(probe: Probe, optimizer: str) -> Run:
    runs: Sequence[Run] = [run for run in probe.runs if run.optimizer == optimizer]
    return min(runs, key=lambda run: run.end)


def _training(run: Run, probe: Probe) -> str:
    samples = "minibatches" if probe.kind is ProbeKind.LEARNING else "one batch"
    return f"{_steps(run)} on {samples}"


def _steps(run: Run) -> str:
    return f"{run.steps} step{'s' * (run.steps != 1)}"


def _snippet(run: Run, step: GradientStep, probe: Probe) -> str:
    proof = f"proven by {_training(run, probe)}, seed {run.seed}: loss {run.end:.2f} of chance"
    return training_snippet(run.optimizer, run.learning_rate, run.momentum, step, proof, run.warm_up)
