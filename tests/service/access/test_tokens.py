"""Tokens that are good, and those that are not; signed by cryptography alone."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from service.access.caller import BadTokenError, Caller, KeysAwayError
from service.access.issuer_keys import IssuerKeys
from service.access.key import Scope
from service.access.tokens import Issuer, issuer_of
from service.settings import Settings
from service.startup import CannotStartError
from tests.service.access.issuing import (
    AUDIENCE,
    ISSUER,
    KeyServer,
    claims,
    ed_jwk,
    key_server,
    published,
    rsa_jwk,
    rsa_key,
    signature,
    text_of,
    token,
)

LATER = 4_102_444_800
"""The year 2100."""
BOTH = frozenset({Scope.READ, Scope.WRITE})


@pytest.fixture(scope="module")
def server() -> Iterator[KeyServer]:
    with key_server() as running:
        yield running


def issuer_at(url: str, tenant: str = "tenant", scopes: str = "scope") -> Issuer:
    return Issuer(ISSUER, AUDIENCE, tenant, scopes, IssuerKeys(url))


@pytest.fixture
def issuer(server: KeyServer) -> Issuer:
    return issuer_at(server.url)


@pytest.mark.parametrize("algorithm", ["RS256", "PS384", "ES256", "EdDSA"])
def test_a_token_of_the_issuer_says_who_asks(issuer: Issuer, algorithm: str) -> None:
    assert issuer.caller(token(algorithm=algorithm)) == Caller("token:ci", "vision", BOTH)


def test_a_signature_of_another_algorithm_or_over_other_words_is_none(issuer: Issuer) -> None:
    good = token()
    head, body, signed = good.split(".")
    other = text_of(json.dumps(claims(tenant="victim")).encode())
    for bad in (f"{head}.{other}.{signed}", f"{head}.{body}.", f"{head}.{body}.{signed[:-4]}", token(kid="EdDSA")):
        with pytest.raises(BadTokenError):
            issuer.caller(bad)


def test_no_algorithm_with_a_shared_secret_and_none_at_all(issuer: Issuer) -> None:
    """The classic two: `none`, and HS256 by the public key, which everybody has."""
    public = rsa_key().public_key()
    known = [public.public_bytes(form, kind) for form, kind in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), (Encoding.DER, PublicFormat.PKCS1),
    )]  # fmt: skip
    forged = [token(algorithm="HS256", secret=secret, kid="RS256") for secret in [*known, b"", b"RS256"]]
    forged += [token(algorithm=name, kid="RS256") for name in ("none", "None", "NONE", "")]
    for bad in forged:
        with pytest.raises(BadTokenError):
            issuer.caller(bad)


def test_a_token_brings_no_key_along(issuer: Issuer, server: KeyServer) -> None:
    own = rsa_key(2048, 1)
    asked = server.asked
    for brought in (
        {"jwk": rsa_jwk(own, kid="mine"), "kid": "mine"},
        {"jku": server.url, "kid": "mine"},
        {"x5u": server.url, "kid": "mine"},
        {"kid": "../../RS256"},
        {"kid": 1},
        {"kid": ["RS256"]},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
    ):
        with pytest.raises(BadTokenError):
            issuer.caller(token(**brought))
    assert server.asked <= asked + 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": None}, "exp"),
        ({"exp": "soon"}, "integer"),
        ({"exp": float("inf")}, "integer"),
        ({"nbf": LATER}, "not yet"),
        ({"iat": LATER}, "not yet"),
        ({"iss": None}, "iss"),
        ({"iss": f"{ISSUER}/"}, "[Ii]ssuer"),
        ({"aud": None}, "aud"),
        ({"aud": "another service"}, "[Aa]udience"),
        ({"aud": ["another", "service"]}, "[Aa]udience"),
        ({"tenant": None}, "names no tenant"),
        ({"tenant": ""}, "names no tenant"),
        ({"tenant": "a b"}, "names no tenant"),
        ({"tenant": 7}, "names no tenant"),
        ({"tenant": ["vision"]}, "names no tenant"),
    ],
    ids=str,
)
def test_a_token_for_somebody_else_or_another_time_is_refused(issuer: Issuer, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(BadTokenError, match=told):
        issuer.caller(token(claims(**wrong)))


def test_clocks_may_differ_by_half_a_minute(issuer: Issuer) -> None:
    moment = int(time.time())
    assert issuer.caller(token(claims(exp=moment - 20))).tenant == "vision"
    assert issuer.caller(token(claims(nbf=moment + 20, iat=moment + 20))).tenant == "vision"
    with pytest.raises(BadTokenError):
        issuer.caller(token(claims(exp=moment - 40)))


@pytest.mark.parametrize("bad", ["", ".", "..", "a.b.c", "....", "\u00e9.\u00e9.\u00e9", "a.b.c.d.e", "." * 9000])
def test_what_is_no_token_is_refused(issuer: Issuer, bad: str) -> None:
    with pytest.raises(BadTokenError):
        issuer.caller(bad)


def test_a_header_or_claims_without_end_are_refused(issuer: Issuer) -> None:
    deep = text_of(b'{"alg":' + b"[" * 20_000)
    with pytest.raises(BadTokenError):
        issuer.caller(f"{deep}.{deep}.AA")
    signed = f"{text_of(json.dumps({'alg': 'RS256', 'kid': 'RS256'}).encode())}.{text_of(b'[' * 20_000)}"
    with pytest.raises(BadTokenError):
        issuer.caller(f"{signed}.{text_of(signature('RS256', signed.encode()))}")


def test_a_key_that_is_too_short_signs_nothing(server: KeyServer, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [rsa_jwk(rsa_key(1024), kid="RS256")]}))
    with pytest.raises(BadTokenError, match="bits"):
        issuer_at(f"file://{path}").caller(token())


@pytest.mark.parametrize(
    ("said", "scopes"),
    [
        ("read", {Scope.READ}), ("openid read  admin", {Scope.READ, Scope.ADMIN}), (["write", "other"], {Scope.WRITE}),
        ("reader", set()), ("", set()), (None, set()), (1, set()), ({"read": True}, set()), ([["read"]], set()),
    ],
)  # fmt: skip
def test_scopes_are_a_text_or_a_list_and_only_those_that_are_ours(
    issuer: Issuer, said: Any, scopes: set[Scope]
) -> None:
    assert issuer.caller(token(claims(scope=said))).scopes == scopes


def test_claims_are_called_as_the_operator_says(server: KeyServer) -> None:
    issuer = issuer_at(server.url, "https://example.org/team", "roles")
    caller = issuer.caller(token(claims(**{"https://example.org/team": "audio", "roles": ["read"]})))
    assert (caller.tenant, caller.scopes) == ("audio", {Scope.READ})
    assert issuer_at(server.url, "sub", "").caller(token(claims(scope=None))) == Caller("token:ci", "ci", BOTH)


@pytest.mark.parametrize(("subject", "told"), [("a\nb c", "a?b?c"), ("x" * 200, "x" * 100), (None, "None")])
def test_a_subject_is_one_word_of_a_log(issuer: Issuer, subject: str | None, told: str) -> None:
    assert issuer.caller(token(claims(sub=subject))).id == f"token:{told}"


def test_a_server_that_is_away_is_no_bad_token(issuer: Issuer) -> None:
    with key_server() as gone:
        url = gone.url
    with pytest.raises(KeysAwayError):
        issuer_at(url).caller(token())


# ------------------------------------------------------------------ settings


def settings(**other: str) -> Settings:
    usual = {"auth": "keys", "jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_keys_url": "https://issuer.example/k"}
    return Settings.model_validate(usual | other)


def test_an_issuer_is_named_by_three_settings() -> None:
    issuer = issuer_of(settings(jwt_tenant_claim="team", jwt_scopes_claim="scp"))
    assert (issuer.name, issuer.audience, issuer.tenant_claim, issuer.scopes_claim) == (ISSUER, AUDIENCE, "team", "scp")


@pytest.mark.parametrize("name", ["jwt_issuer", "jwt_audience", "jwt_keys_url"])
def test_half_an_issuer_keeps_a_node_from_starting(name: str) -> None:
    with pytest.raises(CannotStartError, match=f"GRADIENT_HEALTH_{name.upper()}"):
        issuer_of(settings(**{name: ""}))


def test_tokens_where_everybody_is_let_in_would_protect_nothing() -> None:
    with pytest.raises(CannotStartError, match="GRADIENT_HEALTH_AUTH=keys"):
        issuer_of(settings(auth="none"))


def test_a_file_of_keys_is_there_at_the_start_or_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with pytest.raises(CannotStartError, match="No such file"):
        issuer_of(settings(jwt_keys_url=f"file://{path}"))
    path.write_text(json.dumps({"keys": [ed_jwk(kid="EdDSA"), *published()]}))
    found = issuer_of(settings(jwt_keys_url=f"file://{path}", jwt_tenant_claim="tenant"))
    assert found.caller(token()).tenant == "vision"
