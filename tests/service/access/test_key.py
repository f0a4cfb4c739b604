"""A key: its secret, its standing, and what it says of itself."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from service.access.key import Scope, Standing, issue, opens, split_token

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_secret_is_32_bytes_and_only_its_sha256_is_kept() -> None:
    key, token = issue("alice", [Scope.READ], NOW)
    assert token.startswith(f"gh_{key.id}_")
    secret = token.removeprefix(f"gh_{key.id}_")
    assert len(base64.urlsafe_b64decode(secret + "=")) == 32
    assert key.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(key)
    assert key.sha256 not in repr(key), "nor what a list of guesses could be held against"


def test_no_two_keys_are_alike() -> None:
    issued = [issue("alice", [Scope.READ], NOW) for _ in range(100)]
    assert len({key.id for key, _ in issued}) == len({key.sha256 for key, _ in issued}) == 100


def test_a_token_is_id_and_secret_also_where_the_secret_holds_an_underscore() -> None:
    assert split_token("gh_0123456789abcdef_" + "_-" * 21 + "_") == ("0123456789abcdef", "_-" * 21 + "_")


@pytest.mark.parametrize(
    "token",
    ["", "gh_", "gh_0123456789abcdef", "gh_0123456789abcdef_short", "gh_0123456789ABCDEF_" + "a" * 43,
     "gh_0123456789abcdef_" + "a" * 44, "gh_0123456789abcdef_" + "a" * 43 + "\n", "xx_0123456789abcdef_" + "a" * 43,
     "gh_0123456789abcdef_" + "\N{LATIN SMALL LETTER E WITH ACUTE}" * 43],
)  # fmt: skip
def test_what_is_no_token_is_none(token: str) -> None:
    assert split_token(token) is None


def test_a_secret_opens_its_own_key_alone() -> None:
    (key, token), (other, _) = (issue("alice", [Scope.READ], NOW) for _ in range(2))
    secret = token.removeprefix(f"gh_{key.id}_")
    assert opens(secret, key)
    assert not opens(secret, other)
    assert not opens(secret, None)
    assert not opens("", None)
    assert not opens(key.sha256, key), "who reads the table has no key"


def test_a_key_expires_at_the_moment_that_was_said() -> None:
    key, _ = issue("alice", [Scope.READ], NOW, timedelta(days=30))
    assert key.expires == datetime(2026, 1, 31, tzinfo=UTC)
    assert key.standing(key.expires - timedelta(microseconds=1)) is Standing.VALID
    assert key.standing(key.expires) is Standing.EXPIRED


def test_a_key_without_an_end_stays_valid() -> None:
    key, _ = issue("alice", [Scope.READ], NOW)
    assert key.standing(NOW + timedelta(days=36_500)) is Standing.VALID


@pytest.mark.parametrize("tenant", ["", " ", "a b", "a\n", "a" * 101, "-a", "../a", "\u00e4"])
def test_a_name_that_is_none_is_refused(tenant: str) -> None:
    with pytest.raises(ValueError, match="a tenant is 1 to 100 letters"):
        issue(tenant, [Scope.READ], NOW)
