import dataclasses

import pytest

from analysis.diagnosis.rows import Row, rows_of
from analysis.facts import ModelFile
from tests.analysis.diagnosis.builders import measurement
from tests.analysis.diagnosis.trials import trial


def test_a_row_has_no_file_and_no_numbers_unless_it_is_handed_them() -> None:
    info = trial("he", measurement()).info
    assert (Row(info, None).measurement, Row(info, None).model) == (None, None)
    file = ModelFile(href="variants/he/model.onnx", sha256="0")
    assert Row(info, measurement(), file).model is file


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Row(trial("he", measurement()).info, None).measurement = measurement()  # type: ignore[misc]


def test_rows_are_in_the_order_of_the_cells_each_with_its_own_file() -> None:
    cells = {name: trial(name, measurement()) for name in ("relu", "he")}
    file = ModelFile(href="variants/he/model.onnx", sha256="0")
    relu, he = rows_of(cells, {"he": file})
    assert (relu, he) == (Row(cells["relu"].info, measurement()), Row(cells["he"].info, measurement(), file))
