"""Rates of a tenant over HTTP: settled before a body is read, and told with every answer (RateLimit header fields).

    RateLimit-Policy: "submissions";q=60;w=60, "bytes";q=1000000000;w=86400;qu="content-bytes"
    RateLimit: "submissions";r=59;t=60, "bytes";r=999990000;t=86400

Source: draft-ietf-httpapi-ratelimit-headers-10. Counted is what makes work: submissions, comparisons, blobs.
"""

import time
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Final

from anyio.to_thread import run_sync
from fastapi import Request

from service.access.rates import Left, Rate, take
from service.api.context import parts_of, tenant_of
from service.problems import ProblemError, problem, refusal
from service.settings import Settings

MINUTE: Final = 60
DAY: Final = 24 * 3600


def rates_of(settings: Settings) -> list[Rate]:
    """Those that an operator has set."""
    rates = [
        Rate("submissions", settings.max_submissions_per_minute_per_tenant, MINUTE),
        Rate("bytes", settings.max_bytes_per_day_per_tenant, DAY, unit="content-bytes"),
    ]
    return [rate for rate in rates if rate.most]


async def limited(request: Request) -> None:
    """A dependency of routes that make work. Raises ProblemError: 429, 411 where bytes are counted and not told."""
    parts = parts_of(request)
    rates = rates_of(parts.settings)
    if not rates:
        return
    amounts = [(rate, _amount(rate, request)) for rate in rates]
    found = await run_sync(partial(take, parts.store.engine, tenant_of(request), amounts, time.time()))
    request.state.headers = {"RateLimit-Policy": _policies(rates), "RateLimit": _told(found)}
    refused = [each for each in found if not each.granted]
    if refused:
        raise _too_much(max(refused, key=lambda each: each.seconds))


def _amount(rate: Rate, request: Request) -> int:
    if rate.unit == "requests":
        return 1
    length = request.headers.get("content-length")
    if length is None and "transfer-encoding" not in request.headers:  # no body at all (RFC 9112, 6.3)
        return 0
    if length is None or not length.isdecimal():
        hint = "send it with a Content-Length; curl -T does so with a file"
        detail = "bytes are counted here, and the request does not say how many it has"
        raise refusal("length-required", HTTPStatus.LENGTH_REQUIRED, detail, where="Content-Length", hint=hint)
    return int(length)


def _too_much(left: Left) -> ProblemError:
    rate, seconds = left.rate, max(1, left.seconds)
    detail = f"{rate.most} {rate.what} in {rate.seconds} s are allowed"
    hint = "ask again after Retry-After seconds"
    told = problem("rate-limited", HTTPStatus.TOO_MANY_REQUESTS, detail, hint=hint)
    return ProblemError(told, {"Retry-After": str(seconds)})


def _policies(rates: Sequence[Rate]) -> str:
    units = ["" if rate.unit == "requests" else f';qu="{rate.unit}"' for rate in rates]
    return ", ".join(
        f'"{rate.what}";q={rate.most};w={rate.seconds}{unit}' for rate, unit in zip(rates, units, strict=True)
    )


def _told(found: Sequence[Left]) -> str:
    return ", ".join(f'"{each.rate.what}";r={each.left};t={each.seconds}' for each in found)
