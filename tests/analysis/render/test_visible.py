import pytest

from analysis.render._visible import visible


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", ""),
        ("/block.1/conv-2_a [x]", "/block.1/conv-2_a [x]"),
        ("größe λ 層 🧠", "größe λ 層 🧠"),
        ("a\tb\nc\rd", "a\\u0009b\\u000ac\\u000dd"),
        ("\x1b[2J\x00\x7f\x85", "\\u001b[2J\\u0000\\u007f\\u0085"),
        ("\u202egnp.exe\u2066\u200b\u00ad\ufeff", "\\u202egnp.exe\\u2066\\u200b\\u00ad\\ufeff"),
        ("line\u2028paragraph\u2029", "line\\u2028paragraph\\u2029"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),  # a tag character: invisible, and beyond four digits
        ("a\u00a0b", "a\u00a0b"),
    ],
)
def test_what_would_steer_is_written_out_and_everything_else_is_left(name: str, shown: str) -> None:
    assert visible(name) == shown


def test_what_is_shown_needs_no_second_look() -> None:
    once = visible("".join(map(chr, range(0x3000))))
    assert visible(once) == once
