"""Which page a browser asks for: what changes something is not done for a stranger's.

Where no key is needed, being able to connect is all it takes, and any page that somebody has open can make a browser
connect to the loopback address. A browser says for whom it asks (`Sec-Fetch-Site`, and `Origin` with every POST);
programs say nothing, and are let in. A key is sent by nobody but its holder, so with keys nothing of this is needed.

    Sec-Fetch-Site   Origin             let in
    same-origin      any                yes
    none             any                yes: typed or from a bookmark
    anything else    any                no, also same-site: another port of this machine is another page
    not sent         the host asked     yes
    not sent         any other, null    no
    not sent         not sent           yes: no browser
"""

from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from fastapi import Request

from service.problems import refusal

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OUR_OWN: Final = frozenset({"same-origin", "none"})


def refuse_other_origins(request: Request) -> None:
    """Raises ProblemError: 403 where a page of another origin asks for a change."""
    if request.method not in READING and not is_our_own(request):
        origin = request.headers.get("origin", "another origin")[:100]
        raise refusal(
            "cross-origin",
            HTTPStatus.FORBIDDEN,
            f"a page of {origin!r} asked for this",
            where="Origin",
            hint="ask from the page of this service, or from a program that is no browser",
        )


async def from_our_own(request: Request) -> None:
    """The same as a dependency, for which no thread is needed."""
    refuse_other_origins(request)


def is_our_own(request: Request) -> bool:
    """Whether a request comes from a page of this service, or from no page at all."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in OUR_OWN
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == request.headers.get("host", "").lower()
