"""The table of keys, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from service.access.key import Scope, Standing, issue
from service.access.keys import KeyTable
from service.jobs.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def keys(store: Store) -> KeyTable:
    return KeyTable(store.engine)


def test_a_key_is_found_by_its_token_as_it_was_issued(keys: KeyTable) -> None:
    key, token = issue("alice", [Scope.WRITE, Scope.READ], NOW, timedelta(days=1))
    keys.add(key)
    assert keys.find(token) == key


def test_the_right_id_with_a_wrong_secret_finds_nothing(keys: KeyTable) -> None:
    key, token = issue("alice", [Scope.READ], NOW)
    other, stranger = issue("bob", [Scope.READ], NOW)
    keys.add(key)
    assert keys.find(stranger) is None
    assert keys.find(token.replace(key.id, other.id)) is None
    assert keys.find(stranger.replace(other.id, key.id)) is None
    assert keys.find(f"gh_{key.id}_{key.sha256}") is None
    assert keys.find("nonsense\0") is None


def test_nothing_of_the_secret_is_in_the_table(keys: KeyTable, store: Store) -> None:
    key, token = issue("alice", [Scope.READ], NOW)
    keys.add(key)
    with store.engine.connect() as connection:
        row = str(connection.execute(text("SELECT * FROM api_keys")).all())
    assert key.id in row
    assert token.removeprefix(f"gh_{key.id}_")[:8] not in row


def test_a_revoked_key_stays_revoked_and_in_the_list(keys: KeyTable) -> None:
    (first, token), (second, _) = issue("alice", [Scope.READ], NOW), issue("bob", [Scope.READ], NOW + HOUR)
    keys.add(second)
    keys.add(first)
    assert keys.revoke(first.id, NOW + HOUR)
    assert not keys.revoke(first.id, NOW + 2 * HOUR)
    assert not keys.revoke("0" * 16, NOW)
    found = keys.find(token)
    assert found is not None
    assert found.revoked == NOW + HOUR
    assert found.standing(NOW) is Standing.REVOKED
    assert [key.id for key in keys.all()] == [first.id, second.id]


def test_rotation_gives_a_successor_and_lets_the_old_key_go_on_for_a_while(keys: KeyTable) -> None:
    old, token = issue("alice", [Scope.READ, Scope.ADMIN], NOW, timedelta(days=10))
    keys.add(old)
    now = NOW + timedelta(days=1)
    rotated = keys.rotate(old.id, now, HOUR)
    assert rotated is not None
    new, new_token = rotated
    assert keys.find(new_token) == new
    assert (new.tenant, new.scopes, new.expires) == (old.tenant, old.scopes, now + timedelta(days=10))
    before = keys.find(token)
    assert before is not None
    assert before.expires == now + HOUR


def test_rotation_prolongs_nothing(keys: KeyTable) -> None:
    old, token = issue("alice", [Scope.READ], NOW, HOUR)
    keys.add(old)
    assert keys.rotate(old.id, NOW, 2 * HOUR) is not None
    before = keys.find(token)
    assert before is not None
    assert before.expires == NOW + HOUR
    assert keys.rotate(old.id, NOW + HOUR, HOUR) is None
    assert len(keys.all()) == 2
