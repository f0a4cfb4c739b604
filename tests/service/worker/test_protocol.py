"""What is said survives the way through a pipe."""

import dataclasses
import pickle
from pathlib import Path

import pytest

from service.worker.protocol import Assignment, Broken, Died, Done, OpenFile, Reached, Refused
from service.worker.sandbox import Confinement
from tests.service.worker.scripted_child import REFUSAL

SAID = (
    Assignment(OpenFile(0), "model.onnx", None, {}, "{}", 0, Confinement(Path("work"), 1, 2, 3)),
    Reached("probe", 0.5),
    Done(Path("report.json"), Path("models")),
    Broken("ZeroDivisionError"),
    Died(-9),
)


@pytest.mark.parametrize("said", SAID[1:], ids=lambda said: type(said).__name__)
def test_what_arrives_is_what_was_said_and_does_not_change(said: object) -> None:
    assert pickle.loads(pickle.dumps(said)) == said
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(said, dataclasses.fields(said)[0].name, None)  # type: ignore[arg-type]


def test_a_refusal_arrives_with_where_and_hint() -> None:
    arrived = pickle.loads(pickle.dumps(Refused(REFUSAL))).error
    assert (type(arrived), str(arrived)) == (type(REFUSAL), str(REFUSAL))
    assert (arrived.where, arrived.hint) == (REFUSAL.where, REFUSAL.hint)
