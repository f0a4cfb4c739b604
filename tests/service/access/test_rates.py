"""What is left to a tenant, on SQLite always and on PostgreSQL where one answers."""

from concurrent.futures import ThreadPoolExecutor

from service.access.rates import Left, Rate, take
from service.jobs.store import Store

MINUTE, DAY = Rate("submissions", 3, 60), Rate("bytes", 100, 86_400, "content-bytes")


def left(store: Store, tenant: str, *wanted: tuple[Rate, int], now: float) -> list[tuple[int, int, bool]]:
    return [(each.left, each.seconds, each.granted) for each in take(store.engine, tenant, wanted, now)]


def test_a_span_begins_with_its_first_request_and_ends_after_its_time(store: Store) -> None:
    asked = [left(store, "one", (MINUTE, 1), now=now)[0] for now in (1000.0, 1010.5, 1059.0, 1059.5, 1060.0)]
    assert asked == [(2, 60, True), (1, 50, True), (0, 1, True), (0, 1, False), (2, 60, True)]


def test_tenants_do_not_count_for_each_other(store: Store) -> None:
    for tenant in ("one", "two"):
        assert left(store, tenant, (MINUTE, 3), now=0.0) == [(0, 60, True)]
    assert left(store, "one", (MINUTE, 1), now=0.0) == [(0, 60, False)]


def test_all_is_taken_or_nothing(store: Store) -> None:
    assert left(store, "one", (MINUTE, 1), (DAY, 90), now=0.0) == [(2, 60, True), (10, 86_400, True)]
    assert left(store, "one", (MINUTE, 1), (DAY, 11), now=0.0) == [(2, 60, True), (10, 86_400, False)]
    assert left(store, "one", (MINUTE, 1), (DAY, 10), now=0.0) == [(1, 60, True), (0, 86_400, True)]


def test_what_is_more_than_there_ever_is_is_refused_and_costs_nothing(store: Store) -> None:
    assert left(store, "one", (DAY, 101), now=0.0) == [(100, 86_400, False)]
    assert left(store, "one", (DAY, 100), now=0.0) == [(0, 86_400, True)]


def test_a_clock_that_was_set_back_keeps_nobody_waiting_for_long(store: Store) -> None:
    left(store, "one", (MINUTE, 3), now=10_000.0)
    assert left(store, "one", (MINUTE, 1), now=5000.0) == [(2, 60, True)]


def test_nodes_that_ask_at_the_same_moment_grant_no_more_than_there_is(stores: list[Store]) -> None:
    def ask(number: int) -> list[Left]:
        return take(stores[number % 4].engine, "one", [(MINUTE, 1)], 0.0)

    with ThreadPoolExecutor(8) as pool:
        granted = [each.granted for found in pool.map(ask, range(8)) for each in found]
    assert granted.count(True) == 3
