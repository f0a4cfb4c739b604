"""An issuer of tokens: keys made here, signed by cryptography alone, and a server that has the public ones."""

import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

ISSUER, AUDIENCE = "https://issuer.example", "gradient-health"


def text_of(content: bytes) -> str:
    """As JOSE writes bytes (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def number(value: int) -> str:
    return text_of(value.to_bytes((value.bit_length() + 7) // 8))


@cache
def rsa_key(bits: int = 2048, which: int = 0) -> rsa.RSAPrivateKey:
    """Made once a run; `which`: another one."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def rsa_jwk(key: rsa.RSAPrivateKey, **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}


def ec_jwk(**more: Any) -> dict[str, Any]:
    numbers = ec_key().public_key().public_numbers()
    x, y = (text_of(value.to_bytes(32)) for value in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, **more}


def ed_jwk(**more: Any) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": text_of(ed_key().public_key().public_bytes_raw()), **more}


def signature(algorithm: str, signed: bytes, secret: bytes = b"") -> bytes:
    """RFC 7518, section 3; RFC 8037 for EdDSA."""
    match algorithm:
        case "RS256":
            return rsa_key().sign(signed, padding.PKCS1v15(), hashes.SHA256())
        case "PS384":
            filled = padding.PSS(padding.MGF1(hashes.SHA384()), hashes.SHA384().digest_size)
            return rsa_key().sign(signed, filled, hashes.SHA384())
        case "ES256":
            r, s = utils.decode_dss_signature(ec_key().sign(signed, ec.ECDSA(hashes.SHA256())))
            return r.to_bytes(32) + s.to_bytes(32)
        case "EdDSA":
            return ed_key().sign(signed)
        case "HS256":
            return hmac.digest(secret, signed, hashlib.sha256)
    return b""


def claims(**other: Any) -> dict[str, Any]:
    """Of a good token; None takes a claim away."""
    moment = int(time.time())
    usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ci", "exp": moment + 300, "iat": moment, "tenant": "vision"}
    return {name: value for name, value in (usual | {"scope": "read write"} | other).items() if value is not None}


def token(
    said: Mapping[str, Any] | None = None, algorithm: str = "RS256", *, secret: bytes = b"", **header: Any
) -> str:
    """A token with these claims."""
    parts = ({"alg": algorithm, "typ": "JWT", "kid": algorithm, **header}, claims() if said is None else said)
    signed = ".".join(text_of(json.dumps(part).encode()) for part in parts)
    return f"{signed}.{text_of(signature(algorithm, signed.encode(), secret))}"


def published() -> list[dict[str, Any]]:
    """The public keys, each called as what it signs."""
    return [rsa_jwk(rsa_key(), kid="RS256"), rsa_jwk(rsa_key(), kid="PS384"), ec_jwk(kid="ES256"), ed_jwk(kid="EdDSA")]


@dataclass
class KeyServer:
    """What it answers, and how often it was asked."""

    keys: list[dict[str, Any]] = field(default_factory=published)
    content: bytes | None = None
    """In place of the keys."""
    status: int = 200
    held: threading.Event = field(default_factory=threading.Event)
    """It does not answer while this is not set."""
    asked: int = 0
    came: threading.Event = field(default_factory=threading.Event)
    """Set by whoever asks."""
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys"


@contextmanager
def key_server() -> Iterator[KeyServer]:
    """One on the loopback address."""
    kept = KeyServer()
    kept.held.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kept.asked += 1
            kept.came.set()
            kept.held.wait(10)
            body = json.dumps({"keys": kept.keys}).encode() if kept.content is None else kept.content
            self.send_response(kept.status)
            if kept.status in {301, 307}:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_port
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        try:
            yield kept
        finally:
            kept.held.set()
            server.shutdown()
            serving.join()
