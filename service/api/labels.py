"""Labels: what a client calls an analysis by, told in the query when it is submitted and when analyses are listed."""

from typing import Annotated

from fastapi import Query

Label = Annotated[str | None, Query(min_length=1, max_length=200)]


async def labels_of(project: Label = None, commit: Label = None, model_version: Label = None) -> dict[str, str]:
    """Those that were told; a coroutine, for which no thread is needed."""
    told = {"project": project, "commit": commit, "model_version": model_version}
    return {name: value for name, value in told.items() if value is not None}
