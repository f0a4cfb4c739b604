"""One tracking server, asked over HTTP: what it answers as JSON, and the files that it keeps or hands on."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, Self
from urllib.parse import quote, urlsplit

import httpx

API: Final = "/api/2.0/mlflow"
FILES: Final = "/api/2.0/mlflow-artifacts/artifacts"
SCHEME: Final = "mlflow-artifacts"
BUSY: Final = (429, 502, 503, 504)
TIMEOUT: Final = httpx.Timeout(30.0, write=300.0)


class MlflowError(Exception):
    """The server refused, does not answer as MLflow does, or cannot hand files on."""


class MlflowBusyError(MlflowError):
    """It cannot answer for now."""


class Connection:
    """Raises MlflowError, and httpx.TransportError where there is no server."""

    def __init__(
        self,
        url: str,
        auth: httpx.Auth | tuple[str, str] | None = None,
        token: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Where the server is, and who asks."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = url.rstrip("/")
        self._http = httpx.Client(base_url=base, auth=auth, headers=headers, timeout=TIMEOUT, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @classmethod
    def from_environment(cls, url: str) -> Self:
        """With the credentials that MLflow's own clients read."""
        user, token = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_TOKEN", "")
        auth = None if user is None else (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", ""))
        return cls(url, auth, token)

    def get(self, path: str, **query: str) -> Mapping[str, Any]:
        """What is there."""
        return _read(self._http.get(f"{API}/{path}", params=query))

    def find(self, path: str, **query: str) -> Mapping[str, Any] | None:
        """The same, None where there is nothing."""
        response = self._http.get(f"{API}/{path}", params=query)
        return None if response.status_code == httpx.codes.NOT_FOUND else _read(response)

    def post(self, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """What became of it."""
        return _read(self._http.post(f"{API}/{path}", json=body))

    def put(self, root: str, name: str, content: bytes) -> None:
        """Keep a file in the folder `root` of artifacts."""
        _succeeded(self._http.put(f"{FILES}/{_place(root)}/{quote(name)}", content=content))

    def names_in(self, root: str) -> dict[str, int]:
        """The files right in that folder, and their sizes in bytes."""
        files = _read(self._http.get(FILES, params={"path": _place(root)})).get("files", [])
        return {str(each["path"]): int(each.get("file_size", 0)) for each in files if not each.get("is_dir")}

    def fetch(self, root: str, name: str, into: BinaryIO, most_bytes: int) -> None:
        """One of them, which is as long as was said."""
        with self._streaming(f"{FILES}/{_place(root)}/{quote(name)}") as response:
            for chunk in response.iter_bytes():
                into.write(chunk)
                if into.tell() > most_bytes:
                    raise MlflowError(f"{name} is longer than the {most_bytes} bytes that were announced")

    @contextmanager
    def _streaming(self, path: str) -> Iterator[httpx.Response]:
        with self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
            yield _succeeded(response)


def _place(root: str) -> str:
    """The folder within what the server hands on; a URI may name the server, too: mlflow-artifacts://host/7/run."""
    uri = urlsplit(root)
    if uri.scheme != SCHEME:
        raise MlflowError(f"artifacts are kept at {root}: start the server with --serve-artifacts")
    return quote(uri.path.strip("/"))


def _succeeded(response: httpx.Response) -> httpx.Response:
    """What is stored is answered without a body."""
    if not response.is_success:
        kind = MlflowBusyError if response.status_code in BUSY else MlflowError
        raise kind(f"{response.request.method} {response.url.path}: {response.status_code} {response.text[:300]}")
    return response


def _read(response: httpx.Response) -> Mapping[str, Any]:
    try:
        body = _succeeded(response).json()
    except ValueError as error:
        raise MlflowError(f"{response.url} does not answer as MLflow does") from error
    return body if isinstance(body, dict) else {}
