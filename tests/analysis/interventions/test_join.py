from tests.analysis.experiment.experiments import experiment
from tests.analysis.interventions.builders import applied
from tests.gallery import he, mlp


def test_clipping_and_decay_go_together() -> None:
    cells = experiment(mlp(3, "Relu", he()))
    found = applied("clip+decay", mlp(3, "Relu", he()))
    assert found.gradient_step.clip is not None
    assert found.gradient_step.weight_decay == 0.01
    assert cells.structures.unchanged.model.sha256 == found.model.sha256
