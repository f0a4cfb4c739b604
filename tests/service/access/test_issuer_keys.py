"""Keys of an issuer, fetched from a server of the test's own."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.access import issuer_keys
from service.access.caller import KeysAwayError
from service.access.issuer_keys import FETCH_SECONDS, IssuerKeys
from tests.service.access.issuing import KeyServer, ec_jwk, ed_jwk, key_server, rsa_jwk, rsa_key


@pytest.fixture
def server() -> Iterator[KeyServer]:
    with key_server() as running:
        yield running


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Its one number is the time."""
    moment = [1000.0]
    monkeypatch.setattr(issuer_keys, "monotonic", lambda: moment[0])
    return moment


def known(keys: IssuerKeys, key_id: str | None) -> str | None:
    found = keys.find(key_id)
    return None if found is None else found.algorithms[0]


def test_keys_are_fetched_once_and_found_by_their_id(server: KeyServer) -> None:
    keys = IssuerKeys(server.url)
    assert [known(keys, key_id) for key_id in ("ES256", "EdDSA", "RS256")] == ["ES256", "EdDSA", "RS256"]
    assert server.asked == 1


def test_a_token_without_an_id_is_for_the_only_key_there_is(server: KeyServer) -> None:
    assert known(IssuerKeys(server.url), None) is None
    server.keys = [ec_jwk()]
    assert known(IssuerKeys(server.url), None) == "ES256"


def test_an_unknown_id_has_them_fetched_again_but_not_for_every_stranger(server: KeyServer, clock: list[float]) -> None:
    keys = IssuerKeys(server.url)
    assert known(keys, "EdDSA") == "EdDSA"
    server.keys = [ed_jwk(kid="new")]
    clock[0] += 9
    assert [known(keys, key_id) for key_id in ("new", "made up", "EdDSA")] == [None, None, "EdDSA"]
    assert server.asked == 1
    clock[0] += 1
    assert [known(keys, key_id) for key_id in ("new", "made up", "EdDSA")] == ["EdDSA", None, None]
    assert server.asked == 2


def test_a_withdrawn_key_is_forgotten_after_five_minutes(server: KeyServer, clock: list[float]) -> None:
    keys = IssuerKeys(server.url)
    assert known(keys, "RS256") == "RS256"
    server.keys = [ed_jwk(kid="new")]
    clock[0] += 299
    assert known(keys, "RS256") == "RS256"
    clock[0] += 1
    assert known(keys, "RS256") is None


def test_a_server_that_is_away_is_asked_once_in_a_while_and_known_keys_go_on_for_an_hour(
    server: KeyServer, clock: list[float]
) -> None:
    keys = IssuerKeys(server.url)
    assert known(keys, "RS256") == "RS256"
    server.status = 503
    clock[0] += 3599
    assert [known(keys, "RS256") for _ in range(3)] == ["RS256"] * 3
    assert server.asked == 2
    with pytest.raises(KeysAwayError) as caught:
        keys.find("made up")
    assert caught.value.seconds == 10
    clock[0] += 1
    with pytest.raises(KeysAwayError, match="503"):
        keys.find("RS256")
    server.status = 200
    clock[0] += 10
    assert known(keys, "RS256") == "RS256"


def test_who_comes_while_they_are_fetched_does_not_wait(server: KeyServer) -> None:
    keys = IssuerKeys(server.url)
    server.held.clear()
    keys.warm_up()
    assert server.came.wait(5)
    before = time.monotonic()
    with pytest.raises(KeysAwayError) as caught:
        keys.find("RS256")
    assert time.monotonic() - before < FETCH_SECONDS / 2, "it is the first one that waits"
    assert caught.value.seconds == 1
    server.held.set()
    while not server_answered(keys):
        time.sleep(0.01)
    assert server.asked == 1


def server_answered(keys: IssuerKeys) -> bool:
    try:
        return known(keys, "RS256") is not None
    except KeysAwayError:
        return False


def test_old_keys_answer_while_new_ones_are_fetched(server: KeyServer, clock: list[float]) -> None:
    keys = IssuerKeys(server.url)
    assert known(keys, "RS256") == "RS256"
    clock[0] += 300
    server.held.clear()
    server.came.clear()
    first = threading.Thread(target=keys.find, args=("RS256",))
    first.start()
    assert server.came.wait(5)
    assert known(keys, "RS256") == "RS256"
    server.held.set()
    first.join()


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", 200), (b"not JSON", 200), (b"[]", 200), (b'{"keys": 1}', 200), (b"{}", 404), (b"{}", 301),
     (b"[" * 50_000, 200), (b'{"keys":' + b"[" * 50_000, 200), (b" " * (2 << 20), 200), (b"\xff{", 200)],
)  # fmt: skip
def test_what_is_no_set_of_keys_is_as_if_the_server_were_away(server: KeyServer, content: bytes, status: int) -> None:
    server.content, server.status = content, status
    with pytest.raises(KeysAwayError):
        IssuerKeys(server.url).find("RS256")


def test_nobody_listening_is_a_server_that_is_away() -> None:
    with key_server() as gone:
        url = gone.url
    with pytest.raises(KeysAwayError):
        IssuerKeys(url).find("RS256")


def test_keys_for_anything_else_and_secrets_are_left_out(server: KeyServer) -> None:
    server.keys = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        rsa_jwk(rsa_key(), kid="encrypts", use="enc"),
        rsa_jwk(rsa_key(), kid="unwraps", alg="RSA-OAEP"),
        rsa_jwk(rsa_key(), kid="symmetric", alg="HS256"),
        rsa_jwk(rsa_key(), kid="none", alg="none"),
        rsa_jwk(rsa_key(), kid="signs", key_ops=["sign"]),
        rsa_jwk(rsa_key(), kid="private", d="AQAB"),
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "half", "x": "AA"},
        {"kty": "new", "kid": "unknown"},
    ]
    keys = IssuerKeys(server.url)
    assert [known(keys, str(each["kid"])) for each in server.keys] == [None] * len(server.keys)
    server.content = json.dumps({"keys": ["no key", None, rsa_jwk(rsa_key(), kid="one", alg="PS512")]}).encode()
    assert known(IssuerKeys(server.url), "one") == "PS512"


def test_a_key_is_for_the_algorithms_of_its_kind_or_for_the_one_it_names(server: KeyServer) -> None:
    server.keys = [rsa_jwk(rsa_key(), kid="any"), rsa_jwk(rsa_key(), kid="one", alg="RS384"), ec_jwk(kid="curve")]
    keys = IssuerKeys(server.url)
    algorithms = {name: set(found.algorithms) for name in ("any", "one", "curve") if (found := keys.find(name))}
    assert algorithms == {
        "any": {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, "one": {"RS384"}, "curve": {"ES256"},
    }  # fmt: skip


def test_a_file_is_read_like_a_server(tmp_path: Path) -> None:
    path = tmp_path / "key set.json"
    keys = IssuerKeys(f"file://{tmp_path}/key%20set.json")
    path.write_text(json.dumps({"keys": [ed_jwk(kid="one")]}))
    assert known(keys, "one") == "EdDSA"
    with pytest.raises(KeysAwayError):
        IssuerKeys(f"file://{tmp_path}/missing.json").find("one")
