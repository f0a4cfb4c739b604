"""Forward, backward, statistics: a Measurement of one variant.

Pass A differentiates the loss ("what training would do now"), pass B a random unit cotangent at the logits ("what the
network can transport"), both on one forward. A tiny pass A beside a sound pass B is a converged or saturated loss, not
a vanishing gradient.
"""

from collections.abc import Sequence
from dataclasses import replace

from analysis.facts import Clip, Measurement
from analysis.measure.cotangent import paired, random_cotangent
from analysis.measure.flow import output_unit
from analysis.measure.reading import PassReading
from analysis.measure.taps import Backward, Taps
from analysis.measure.through_time import measure_through_time
from analysis.options import AnalysisOptions
from analysis.subject.subject import Subject


def cotangent_seeds(options: AnalysisOptions) -> tuple[int, int]:
    """Two random cotangents for pass B."""
    return 2 * options.seed, 2 * options.seed + 1


def measure(
    subject: Subject,
    *,
    cotangents: Sequence[int],
    learning_rate: float | None = None,
    ranked: bool = False,
    clip: Clip | None = None,
    through_time: bool = False,
) -> Measurement:
    """Pass A, and pass B once per cotangent seed; eval mode afterwards.

    With pass B comes what rules read of the unchanged model and of treatments that are trained: gradients through time,
    shares that need passes of their own. `ranked`: effective ranks as well. `through_time`: gradients through time also
    without pass B. `clip`: by value or in proportion, before the gradients are looked at.
    """
    inputs, targets = subject.tensors()
    training = subject.batch_statistics
    subject.converted.train(training)
    taps = Taps(subject, detailed=bool(cotangents), ranked=ranked, clip=clip)
    try:
        with taps.listening():
            loss = taps.run(inputs, targets)
            loss.backward(retain_graph=bool(cotangents))
            by_loss, by_cotangent = taps.backward, []
            logits = taps.forward.logits[0]
            for seed in cotangents:
                taps.backward = Backward(brief=True)
                draw = random_cotangent(logits, subject.batch.size, seed) / output_unit(subject)
                paired(logits, draw).backward(retain_graph=seed != cotangents[-1])
                by_cotangent.append(taps.backward)
    finally:
        subject.converted.eval()
    reading = PassReading(subject, taps.forward, by_loss, by_cotangent, learning_rate)
    measurement = reading.measurement(float(loss.detach()), training)
    if measurement.recurrent and measurement.non_finite is None and (cotangents or through_time):
        measurement = replace(measurement, through_time=measure_through_time(subject))
    return measurement
