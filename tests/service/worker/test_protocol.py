"""What is said survives the way, and what nobody of ours says is no message."""

import json
import math

import pytest

from analysis.errors import InvalidModel, UnsupportedOp
from service.worker.protocol import (
    LONGEST_STAGE,
    LONGEST_TEXT,
    Broken,
    Done,
    Message,
    NoRoom,
    NotAMessage,
    Reached,
    Refused,
    decode,
    encode,
)  # fmt: skip
from tests.service.worker.scripted_child import REFUSAL


@pytest.mark.parametrize(
    "said", [Reached("probe", 0.5), Reached("x", 0), Done(), Broken("ZeroDivisionError"), NoRoom()], ids=str
)
def test_what_arrives_is_what_was_said(said: Message) -> None:
    assert decode(encode(said)) == said


def test_the_moment_of_a_stage_arrives() -> None:
    arrived = decode(encode(Reached("probe", 0.5, 1_795_000_000.25)))
    assert isinstance(arrived, Reached)
    assert arrived.at == 1_795_000_000.25


def test_a_refusal_arrives_with_its_kind_where_and_hint() -> None:
    arrived = decode(encode(Refused(REFUSAL)))
    assert isinstance(arrived, Refused)
    assert (type(arrived.error), str(arrived.error)) == (UnsupportedOp, str(REFUSAL))


def test_a_refusal_of_any_length_fits_and_keeps_its_beginning() -> None:
    arrived = decode(encode(Refused(InvalidModel("d" * 10**7, where="\U0001f9e0" * 10**6, hint="h\0\ud800"))))
    assert isinstance(arrived, Refused)
    assert len(arrived.error.detail) == len(arrived.error.where) == LONGEST_TEXT
    assert arrived.error.detail.endswith("d ...")
    assert arrived.error.hint == "h?"


@pytest.mark.parametrize(
    "said",
    [
        [], {}, "done", None, 1, ["done", 1], ["died", -9], ["reached", "probe"], ["reached", "probe", 0.5],
        ["reached", 1, 0.5, 1.0], ["reached", "", 0.5, 1.0], ["reached", "x" * (LONGEST_STAGE + 1), 0.5, 1.0],
        ["reached", "a\0b", 0.5, 1.0], ["reached", "a\x1b", 0.5, 1.0], ["reached", "probe", 1.01, 1.0],
        ["reached", "probe", -0.01, 1.0], ["reached", "probe", math.nan, 1.0], ["reached", "probe", math.inf, 1.0],
        ["reached", "probe", "0.5", 1.0], ["reached", "probe", 0.5, -1.0], ["reached", "probe", 0.5, math.nan],
        ["reached", "probe", 0.5, math.inf], ["reached", "probe", 0.5, 1e300], ["reached", "probe", 0.5, "1"],
        ["refused", "no-such-code", "", "", ""],
        ["refused", "invalid-model", "d", "w"], ["refused", "invalid-model", "d", "w", 1], ["broken", []],
        ["no room", 1],
    ],
    ids=str,
)  # fmt: skip
def test_what_no_child_of_ours_says_is_no_message(said: object) -> None:
    with pytest.raises(NotAMessage):
        decode(json.dumps(said).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 10**5, b"\x80\x04N."], ids=len)
def test_what_is_no_json_is_no_message(content: bytes) -> None:
    with pytest.raises(NotAMessage):
        decode(content)
