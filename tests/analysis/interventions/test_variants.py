import pytest

from analysis.errors import BadOptions
from analysis.interventions.shelf import BY_TOKEN
from analysis.interventions.variants import asked_for
from analysis.options import AnalysisOptions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variants": ["he+relu+magic"]}, "options.variants: 'magic' is no treatment"),
        ({"variants": ["he+xavier"]}, "options.variants: 'he+xavier' chooses initialization twice"),
        ({"without": ["magic"]}, "options.without: 'magic' is no treatment"),
    ],
)
def test_a_choice_that_is_none_is_refused_with_the_list(options: dict[str, list[str]], words: str) -> None:
    with pytest.raises(BadOptions, match=words.replace("+", "[+]").replace(".", "[.]", 1)) as caught:
        asked_for(AnalysisOptions(**options))  # type: ignore[arg-type]
    if "no treatment" in words:
        assert caught.value.hint is not None
        assert all(token in caught.value.hint for token in BY_TOKEN)
