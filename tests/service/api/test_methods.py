from pathlib import Path

import pytest
from fastapi import FastAPI

from service.api.methods import allowed_methods


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI(openapi_url=None)
    for method in ("GET", "DELETE"):
        made.add_api_route("/things/{name}", lambda name: name, methods=[method])
    made.add_api_route("/things", lambda: None, methods=["POST"])
    return made


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/things/a", ["GET", "DELETE", "HEAD", "OPTIONS"]), ("/things", ["POST", "OPTIONS"]), ("/nothing", [])],
)
def test_a_path_takes_what_any_of_its_routes_takes(app: FastAPI, path: Path, methods: list[str]) -> None:
    scope = {"type": "http", "method": "OPTIONS", "path": path, "headers": [], "root_path": ""}
    assert allowed_methods(app, scope) == methods
    assert scope["method"] == "OPTIONS"
