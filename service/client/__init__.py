"""Clients of the HTTP API, one that waits and one for asyncio: submit, follow, fetch, compare.

`calls.py` has what is asked of the service, once for both; `client.py` and `asynchronous.py` carry it out.
`gradient_health` hands both on, with what takes modules of PyTorch.
"""

from service.client.asynchronous import AsyncClient
from service.client.client import Client

__all__ = ["AsyncClient", "Client"]
