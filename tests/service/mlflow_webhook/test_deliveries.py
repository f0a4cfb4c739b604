"""Which requests are MLflow's: the signature below was made by MLflow 3.17 itself."""

from http import HTTPStatus

import pytest

from service.mlflow_webhook.deliveries import DELIVERY, SIGNATURE, TIMESTAMP, TOLERANCE_SECONDS, Deliveries, NotAccepted

SECRET, SENT = "s3cret", 1732874400
BODY = (
    b'{"entity": "model_version", "action": "created", "timestamp": "2024-11-29T10:00:00+00:00", "data": {"name": '
    b'"net", "version": "3", "source": "models:/m-1", "run_id": null, "tags": {}, "description": null}}'
)
HEADERS = {
    DELIVERY: "6f0d8e0e-0f1e-4c53-9d0e-0d6a1a1d1a11",
    TIMESTAMP: str(SENT),
    SIGNATURE: "v1,bRGSwCxSi4e8jPNIklPSCKNCGQd4cXiIlYWyfTs//2I=",
}


class Clock:
    def __init__(self, time: float) -> None:
        self.time = time

    def __call__(self) -> float:
        return self.time


def refused(deliveries: Deliveries, headers: dict[str, str], body: bytes = BODY) -> HTTPStatus:
    with pytest.raises(NotAccepted) as raised:
        deliveries.check(headers, body)
    return raised.value.status


def test_what_mlflow_signed_is_taken() -> None:
    assert Deliveries(SECRET, Clock(SENT + 2)).check(HEADERS, BODY) == HEADERS[DELIVERY]


@pytest.mark.parametrize(
    "changed",
    [
        {SIGNATURE: ""},
        {SIGNATURE: "v1,"},
        {SIGNATURE: HEADERS[SIGNATURE].removeprefix("v1,")},
        {SIGNATURE: HEADERS[SIGNATURE].replace("v1", "v2")},
        {SIGNATURE: "v1,\u00e9"},
        {DELIVERY: "6f0d8e0e-0f1e-4c53-9d0e-0d6a1a1d1a12"},
        {TIMESTAMP: str(SENT + 1)},
    ],
)
def test_what_was_signed_otherwise_is_not(changed: dict[str, str]) -> None:
    assert refused(Deliveries(SECRET, Clock(SENT)), HEADERS | changed) is HTTPStatus.UNAUTHORIZED


def test_neither_is_another_body_or_another_secret() -> None:
    assert refused(Deliveries(SECRET, Clock(SENT)), HEADERS, BODY.replace(b'"3"', b'"4"')) is HTTPStatus.UNAUTHORIZED
    assert refused(Deliveries("other", Clock(SENT)), HEADERS) is HTTPStatus.UNAUTHORIZED
    with pytest.raises(ValueError, match="anybody"):
        Deliveries("")


@pytest.mark.parametrize(
    "changed", [{DELIVERY: ""}, {DELIVERY: "a.b"}, {TIMESTAMP: ""}, {TIMESTAMP: "1e9"}, {TIMESTAMP: "-1"}]
)
def test_headers_that_are_none_of_mlflows_are_told_so(changed: dict[str, str]) -> None:
    assert refused(Deliveries(SECRET, Clock(SENT)), HEADERS | changed) is HTTPStatus.BAD_REQUEST


@pytest.mark.parametrize("late", [TOLERANCE_SECONDS + 1, -TOLERANCE_SECONDS - 1, 86_400 * 365])
def test_a_request_of_another_time_is_refused_though_it_is_signed(late: float) -> None:
    assert refused(Deliveries(SECRET, Clock(SENT + late)), HEADERS) is HTTPStatus.BAD_REQUEST
    Deliveries(SECRET, Clock(SENT + (TOLERANCE_SECONDS if late > 0 else -TOLERANCE_SECONDS))).check(HEADERS, BODY)


def test_what_was_accepted_is_refused_as_long_as_it_is_in_time() -> None:
    clock = Clock(SENT - TOLERANCE_SECONDS)
    deliveries = Deliveries(SECRET, clock)
    deliveries.accept(deliveries.check(HEADERS, BODY))
    for clock.time in (SENT - TOLERANCE_SECONDS, SENT, SENT + TOLERANCE_SECONDS):
        assert refused(deliveries, HEADERS) is HTTPStatus.CONFLICT
        with pytest.raises(NotAccepted):
            deliveries.accept(HEADERS[DELIVERY])


def test_what_was_turned_away_for_a_while_may_come_again() -> None:
    deliveries = Deliveries(SECRET, Clock(SENT))
    assert deliveries.check(HEADERS, BODY) == deliveries.check(HEADERS, BODY)


def test_what_is_out_of_time_is_forgotten() -> None:
    clock = Clock(SENT)
    deliveries = Deliveries(SECRET, clock)
    for number in range(100):
        deliveries.accept(f"a-{number}")
    clock.time += 2 * TOLERANCE_SECONDS + 1
    deliveries.accept("b")
    assert list(deliveries._accepted) == ["b"]
