"""Signatures as Standard Webhooks (https://www.standardwebhooks.com) has them.

    webhook-id          the same for every attempt, so that a receiver can tell what it has seen
    webhook-timestamp   of the attempt, in seconds, so that an old one cannot be sent again by somebody else
    webhook-signature   v1,base64(HMAC-SHA256(secret, id.timestamp.body))

Each tenant has a secret of its own, which follows from that of the service: who can verify what it is told can forge
nothing that another tenant is told.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

PREFIX: Final = "whsec_"


def secret_of(tenant: str, secret: str) -> str:
    """What a tenant verifies its webhooks by; `secret` is that of the service."""
    own = hmac.digest(secret.encode(), f"webhooks of {tenant}".encode(), hashlib.sha256)
    return PREFIX + base64.b64encode(own).decode()


def signed(message_id: str, moment: int, body: bytes, secret: str) -> Mapping[str, str]:
    """The headers of an attempt at `moment`, in seconds; `secret` is the tenant's."""
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    signature = hmac.digest(key, f"{message_id}.{moment}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(moment),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
