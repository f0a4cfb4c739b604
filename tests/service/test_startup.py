from service.migrations.upgrade import NewerDatabaseError
from service.startup import CannotStartError


def test_what_an_operator_has_to_mend_is_told_apart_from_bugs() -> None:
    assert issubclass(NewerDatabaseError, CannotStartError)
    assert "install a newer one" in str(NewerDatabaseError("9999"))
