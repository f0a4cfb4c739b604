"""The body of an answer, as what it is expected to be."""

from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from service.client.errors import failure, not_the_service

Answer = TypeVar("Answer", bound=BaseModel)


def read(kind: type[Answer], response: httpx.Response) -> Answer:
    """The body of a success. Raises ApiError, also where somebody else answers for the service."""
    try:
        return kind.model_validate_json(succeeded(response).content)
    except ValidationError as error:
        raise not_the_service(response) from error


def succeeded(response: httpx.Response) -> httpx.Response:
    """The response itself. Raises ApiError."""
    if not response.is_success:
        raise failure(response)
    return response
