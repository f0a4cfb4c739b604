"""Signatures, held against the example of the documentation of those who began it (Svix)."""

import base64

import pytest

from service.notify.signing import secret_of, signed

EXAMPLE = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_example_is_signed_as_it_is_published() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert signed(EXAMPLE["webhook-id"], 1614265330, b'{"test": 2432232314}', secret) == EXAMPLE


@pytest.mark.parametrize(
    "other", [("msg_p5jXN8AQM9LWM0D4loKWxJel", 1614265330, b"{}"), ("msg_p", 1614265331, b"{}"), ("msg_p", 0, b"{ }")]
)
def test_id_moment_and_body_are_signed(other: tuple[str, int, bytes]) -> None:
    secret = secret_of("one", "s" * 32)
    assert (
        signed(*other, secret)["webhook-signature"] != signed("msg_p", 1614265330, b"{}", secret)["webhook-signature"]
    )


def test_each_tenant_has_a_secret_of_its_own_as_long_as_the_standard_wants_it() -> None:
    one, two = secret_of("one", "s" * 32), secret_of("two", "s" * 32)
    assert one != two != secret_of("two", "t" * 32)
    assert one == secret_of("one", "s" * 32)
    assert one.startswith("whsec_")
    assert 24 <= len(base64.b64decode(one.removeprefix("whsec_"), validate=True)) <= 64
