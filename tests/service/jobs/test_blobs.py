"""What tenants sent ahead, on SQLite always and on PostgreSQL where one answers."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import update

from service.database import writing
from service.jobs.blobs import BLOCK, blob_bytes, blobs_of, drop_blobs, keep_blob
from service.jobs.holding import QuotaError, VanishedError, held_bytes, held_under, let_go
from service.jobs.job import now
from service.jobs.store import Store
from service.jobs.tables import BLOBS
from tests.service.jobs.small_jobs import small_job

MODEL, OTHER = "a" * 64, "c" * 64
SIZES = {MODEL: 10, "b" * 64: 20, OTHER: 300}
HOUR = 3600.0


def keep(store: Store, tenant: str, name: str) -> bool:
    return keep_blob(store, tenant, name, SIZES.get, HOUR)


def free(store: Store, name: str) -> bool:
    with let_go(store.engine, name) as is_free:
        return is_free


def after_an_hour(store: Store) -> int:
    """How many were dropped then."""
    with writing(store.engine) as connection:
        connection.execute(update(BLOBS).values(kept_until=now() - timedelta(seconds=1)))
    return drop_blobs(store, HOUR)


def test_a_tenant_has_what_it_sent_and_nobody_else_has(store: Store) -> None:
    assert keep(store, "one", MODEL)
    assert set(blobs_of(store, "one", [MODEL, OTHER])) == {MODEL}
    kept = blobs_of(store, "one", [MODEL])[MODEL]
    assert (kept.sha256, kept.size) == (MODEL, 10)
    assert timedelta(minutes=59) < kept.kept_until - now() < timedelta(minutes=61)
    assert blobs_of(store, "two", [MODEL]) == {}
    assert blobs_of(store, "one", []) == {}


def test_a_second_time_keeps_it_for_longer_and_is_new_to_each_tenant_once(store: Store) -> None:
    keep(store, "one", MODEL)
    first = blobs_of(store, "one", [MODEL])[MODEL].kept_until
    assert not keep(store, "one", MODEL)
    assert blobs_of(store, "one", [MODEL])[MODEL].kept_until > first
    assert keep(store, "two", MODEL)


def test_what_is_sent_ahead_is_not_removed_until_its_time_is_over(store: Store) -> None:
    keep(store, "one", MODEL)
    assert drop_blobs(store, HOUR) == 0
    assert held_under(store.engine, "aa") == {MODEL}
    assert (free(store, MODEL), free(store, OTHER)) == (False, True)
    assert after_an_hour(store) == 1
    assert held_under(store.engine, "aa") == set()
    assert free(store, MODEL)
    assert blobs_of(store, "one", [MODEL]) == {}


def test_an_analysis_of_its_own_tenant_keeps_a_blob_and_one_of_another_does_not(store: Store) -> None:
    for tenant in ("one", "two"):
        keep(store, tenant, MODEL)
    job = small_job(tenant="one")
    store.submit(job, SIZES.get)
    assert after_an_hour(store) == 1
    assert (set(blobs_of(store, "one", [MODEL])), blobs_of(store, "two", [MODEL])) == ({MODEL}, {})
    assert drop_blobs(store, HOUR) == 0  # it has its time again
    store.delete(job)
    assert after_an_hour(store) == 1
    assert free(store, MODEL)


def test_what_was_removed_meanwhile_has_to_be_sent_again(store: Store) -> None:
    with pytest.raises(VanishedError):
        keep_blob(store, "one", MODEL, {}.get, HOUR)
    assert blobs_of(store, "one", [MODEL]) == {}


def test_the_blobs_of_a_tenant_are_added_up_and_are_no_analysis(store: Store) -> None:
    assert blob_bytes(store, "one") == 0
    for tenant, name in (("one", MODEL), ("one", OTHER), ("two", OTHER)):
        keep(store, tenant, name)
    assert (blob_bytes(store, "one"), blob_bytes(store, "two")) == (310 + 2 * BLOCK, 300 + BLOCK)
    assert held_bytes(store.engine) == 0


def test_a_tenant_may_take_so_much_to_the_byte_and_keep_what_it_has_for_longer(store: Store) -> None:
    keep(store, "one", MODEL)
    keep(store, "two", OTHER)
    for most in (10 + BLOCK + 300, 1):
        assert not keep_blob(store, "one", MODEL, SIZES.get, HOUR, most)
    with pytest.raises(QuotaError):
        keep_blob(store, "one", OTHER, SIZES.get, HOUR, 10 + BLOCK + 299)
    assert blobs_of(store, "one", [OTHER]) == {}
    assert keep_blob(store, "one", OTHER, SIZES.get, HOUR, 10 + BLOCK + 300)


def test_blobs_that_come_at_the_same_time_do_not_take_more_together(store: Store) -> None:
    """Ten threads, a blob each, room for three."""
    sizes = {f"{number:x}" * 64: 100 for number in range(10)}

    def kept(name: str) -> bool:
        try:
            return keep_blob(store, "one", name, sizes.get, HOUR, 3 * 100 + 2 * BLOCK)
        except QuotaError:
            return False

    with ThreadPoolExecutor(10) as threads:
        assert sum(threads.map(kept, sizes)) == 3
    assert blob_bytes(store, "one") == 3 * (100 + BLOCK)
