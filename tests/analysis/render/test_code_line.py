from analysis.render._code_line import Line


def test_a_line_is_its_sign_and_its_text() -> None:
    assert Line("+", "a") == Line(sign="+", text="a")
    assert Line("+", "a") != Line("-", "a")
