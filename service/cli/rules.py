"""`gradient-health rules`: the illnesses that are looked for, and the page of each."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from analysis.diagnosis.contract import Rule
from analysis.diagnosis.policy import find_rule
from analysis.diagnosis.rules import RULES
from service.cli._completion import rule_ids
from service.cli._pages import print_page, refuse


def rules(
    rule: Annotated[
        str | None,
        typer.Argument(help="An id or a name: print its page.", metavar="[ID]", autocompletion=rule_ids),
    ] = None,
) -> None:
    """List the rules, or print the page of one."""
    if rule is None:
        Console().print(_table())
        return
    found = find_rule(rule)
    if found is None:
        raise refuse(rule, "rule", "rules")
    print_page(_page(found))


def _table() -> Table:
    table = Table("rule", "name", "what it says", box=None, pad_edge=False)
    for rule in RULES:
        table.add_row(rule.id, rule.name, rule.message)
    return table


def _page(rule: Rule) -> str:
    limits = "\n".join(f"- `{rule.id}.{name}`: {value:g}" for name, value in rule.thresholds.items())
    return f"{rule.page.rstrip()}\n\n## Thresholds\n{limits}\n" if limits else rule.page
