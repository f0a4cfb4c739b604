"""What a template puts out."""

import pytest
from jinja2 import UndefinedError

from analysis.facts import ValueFacts
from analysis.render._template import environment, style_sheet


def test_a_template_that_asks_for_what_is_not_there_fails() -> None:
    with pytest.raises(UndefinedError):
        environment().from_string("{{ nothing_of_the_kind }}").render()


def test_what_comes_from_strangers_is_escaped_and_visible() -> None:
    said = environment().from_string('<p title="{{ name }}">{{ name }}</p>').render(name='"><b>\u202e')
    assert said == '<p title="&#34;&gt;&lt;b&gt;\\u202e">&#34;&gt;&lt;b&gt;\\u202e</p>'


@pytest.mark.parametrize(
    ("shape", "words"),
    [(None, "float32, open rank"), ((), "float32 []"), ((None, 3, 8), "float32 [?, 3, 8]")],
)
def test_a_value_is_named_by_its_type_and_shape(shape: tuple[int | None, ...] | None, words: str) -> None:
    value = ValueFacts(name="x", dtype="float32", shape=shape)
    assert environment().from_string("{{ value | value_facts }}").render(value=value) == words


def test_the_style_sheet_asks_for_nothing() -> None:
    assert ":root" in style_sheet()
    assert "url(" not in style_sheet()
    assert "@import" not in style_sheet()
