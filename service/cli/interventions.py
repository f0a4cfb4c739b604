"""`gradient-health interventions`: the treatments that are tried, and the page of each."""

from itertools import groupby
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from analysis.interventions.shelf import BY_TOKEN, INTERVENTIONS
from service.cli._completion import treatments
from service.cli._pages import print_page, refuse


def interventions(
    token: Annotated[
        str | None,
        typer.Argument(help="Part of a variant's id: print its page.", autocompletion=treatments),
    ] = None,
) -> None:
    """List the treatments, or print the page of one."""
    if token is None:
        Console().print(_table())
        return
    found = BY_TOKEN.get(token.casefold())
    if found is None:
        raise refuse(token, "treatment", "interventions")
    print_page(found.page)


def _table() -> Table:
    table = Table("treatments", "factor", "what it does", box=None, pad_edge=False)
    for (factor, title), levels in groupby(INTERVENTIONS, key=lambda each: (each.factor, each.title)):
        table.add_row(", ".join(each.token for each in levels), factor.value, title)
    return table
