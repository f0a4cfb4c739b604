"""Names come from strangers: characters that would steer a terminal or turn text around are shown, not obeyed."""

import unicodedata
from typing import Final

STEERING: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls, invisible formatting (bidirectional overrides among it), surrogates, line and paragraph separators."""


def visible(text: str) -> str:
    r"""The text with such characters written out: \u202e."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_written_out(each) if unicodedata.category(each) in STEERING else each for each in text)


def _written_out(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
