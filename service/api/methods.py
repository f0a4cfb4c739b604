"""What a path takes: told by OPTIONS, and where a method is refused."""

from typing import Final

from fastapi import FastAPI
from starlette.routing import Match
from starlette.types import Scope

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def allowed_methods(app: FastAPI, scope: Scope) -> list[str]:
    """What a path takes; empty: there is no such path."""
    taken = [
        method
        for method in METHODS
        if any(route.matches({**scope, "method": method})[0] is Match.FULL for route in app.router.routes)
    ]
    return [*taken, *(["HEAD"] if "GET" in taken else []), "OPTIONS"] if taken else []
