"""What is behind a key and behind a token is the same."""

from service.access.caller import Caller, KeysAwayError
from service.access.key import Scope


def test_callers_are_alike_whatever_let_them_in() -> None:
    assert Caller("a", "vision", frozenset({Scope.READ})) == Caller("a", "vision", frozenset({Scope.READ}))


def test_who_cannot_be_told_is_told_when_to_come_back() -> None:
    error = KeysAwayError(7, "no answer")
    assert (error.seconds, str(error)) == (7, "no answer")
