"""What a shell offers after Tab in the place of a value: ids, names and the words that an option takes.

typer hands the words to the shell, with their explanation where it shows one (zsh, fish). Registries are read when a
shell asks for them, files are the shell's own affair.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

Offer = tuple[str, str]
"""A word, and what it means."""


def rule_ids(incomplete: str) -> list[Offer]:
    """Ids, and names for whoever has begun to write one."""
    from analysis.diagnosis.rules import RULES  # noqa: PLC0415 - read when a shell asks

    ids = [(rule.id, rule.name) for rule in RULES]
    return _beginning(incomplete, ids) or _beginning(incomplete, ((name, id_) for id_, name in ids))


def selections(incomplete: str) -> list[Offer]:
    """What `--select` and `--ignore` take: families of rules, too."""
    from analysis.diagnosis.rules import RULES  # noqa: PLC0415 - the same

    families = sorted({rule.id[:3] for rule in RULES})
    return [*_beginning(incomplete, ((each, "all rules of this family") for each in families)), *rule_ids(incomplete)]


def treatments(incomplete: str) -> list[Offer]:
    """Tokens of treatments."""
    from analysis.interventions.shelf import INTERVENTIONS  # noqa: PLC0415 - the same

    return _beginning(incomplete, ((each.token, each.title) for each in INTERVENTIONS))


def formats(incomplete: str) -> list[Offer]:
    """Formats of a report."""
    from analysis.render.formats import BY_NAME  # noqa: PLC0415 - the same

    return _beginning(incomplete, ((name, each.media_type) for name, each in BY_NAME.items()))


def severities(incomplete: str) -> list[Offer]:
    """What `--fail-on` takes."""
    from analysis.report import Severity  # noqa: PLC0415 - the same

    alone = [(each.value, "findings of this severity or a higher one") for each in Severity]
    both = [(f"{each},inconclusive", "the same, and analyses that cannot tell") for each, _ in alone]
    return _beginning(incomplete, [*alone, *both])


def words_of(kind: type[StrEnum]) -> Callable[[str], list[Offer]]:
    """The values of an option that takes a few words."""

    def words(incomplete: str) -> list[Offer]:
        return _beginning(incomplete, ((each.value, "") for each in kind))

    return words


def _beginning(incomplete: str, offers: Iterable[Offer]) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)]
