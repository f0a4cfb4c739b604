import importlib

import pytest

from service.migrations.upgrade import NewerDatabaseError
from service.startup import CannotStartError, MissingExtraError, needing_extra


def test_a_package_that_is_missing_is_told_with_the_extra_that_brings_it() -> None:
    told = r"nowhere is not installed: pip install 'gradient-health\[some\]'"
    with pytest.raises(MissingExtraError, match=told), needing_extra("some"):
        importlib.import_module("nowhere")


def test_what_an_operator_has_to_mend_is_told_apart_from_bugs() -> None:
    assert issubclass(NewerDatabaseError, CannotStartError)
    assert "install a newer one" in str(NewerDatabaseError("9999"))
