import math

from service.drain import Drain


def test_nothing_stops_until_it_is_told_to() -> None:
    drain = Drain(5.0)
    assert (drain.begun, drain.seconds_left()) == (False, math.inf)


def test_what_is_under_way_has_its_seconds_from_the_first_time_on() -> None:
    drain = Drain(5.0)
    drain.begin()
    left = drain.seconds_left()
    assert drain.begun
    assert 0.0 < left <= 5.0
    drain.begin()
    assert drain.seconds_left() <= left


def test_without_seconds_everything_ends_at_once() -> None:
    drain = Drain(0.0)
    drain.begin()
    assert drain.seconds_left() == 0.0
