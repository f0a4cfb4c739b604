"""Where webhooks may go: hosts that the operator named, at addresses of the public Internet.

A webhook makes this service ask an address that a client chose (server-side request forgery), so all of it is settled
here: the host and port are on the list, its addresses are looked up once, every one of them has to be public, and the
connection goes to the address that was looked at, whatever the name leads to a moment later.

    ci.example.org              https, port 443
    ci.example.org:8443         https, that port alone
    *.example.org               its subdomains
    http://ci.example.org:80    without TLS
"""

import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from service.settings import Settings
from service.startup import CannotStartError

PORTS: Final = {"https": 443, "http": 80}
LONGEST: Final = 2000
NAME: Final = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
"""Of a host, as all libraries that take part in a request read it alike."""
INTERNET: Final = ip_network("2000::/3")
"""Of version 6 all addresses that were given away (RFC 4291); several of the others stand for one of version 4."""
SHORTEST_SECRET: Final = 32


class RefusedError(Exception):
    """A webhook may not go there; the message says why."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """An entry of the list."""

    scheme: str
    host: str
    port: int

    def takes(self, scheme: str, host: str, port: int) -> bool:
        """Whether it names this place."""
        is_host = host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host
        return is_host and (scheme, port) == (self.scheme, self.port)


class NotConfiguredError(CannotStartError):
    """Webhooks are on, and something that they need is not set."""


def allowed_hosts(settings: Settings) -> tuple[Allowed, ...]:
    """What the operator named; nothing: webhooks are off. Raises NotConfiguredError."""
    try:
        allowed = parse_hosts(settings.webhook_hosts)
    except ValueError as error:
        raise NotConfiguredError(f"GRADIENT_HEALTH_WEBHOOK_HOSTS: {error}") from error
    if allowed and len(settings.webhook_secret) < SHORTEST_SECRET:
        raise NotConfiguredError(
            f"GRADIENT_HEALTH_WEBHOOK_SECRET has to be {SHORTEST_SECRET} characters or more: openssl rand -hex 32"
        )
    return allowed


def parse_hosts(said: str) -> tuple[Allowed, ...]:
    """The list of an operator. Raises ValueError."""
    return tuple(_parse_host(each.strip()) for each in said.split(",") if each.strip())


def check_target(url: str, allowed: Iterable[Allowed]) -> str:
    """A URL that may be told; nothing is looked up. Raises RefusedError."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise RefusedError(f"no URL: {error}") from error
    if len(url) > LONGEST or not (url.isascii() and url.isprintable()) or " " in url:
        raise RefusedError(f"no URL of at most {LONGEST} printable ASCII characters")
    if parts.scheme not in PORTS or not host:
        raise RefusedError("no https URL")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise RefusedError("a URL with credentials or a fragment")
    if not _is_host(host):
        raise RefusedError("a URL whose host is neither a name of letters, digits and hyphens nor an address")
    if not any(each.takes(parts.scheme, host, port) for each in allowed):
        raise RefusedError(f"{parts.scheme}://{host}:{port} is not among the hosts that may be told")
    return url


def address_of(url: str, *, private: bool) -> str:
    """The address that the host of a URL has at this moment. Raises RefusedError, OSError.

    `private`: also one that is not public.
    """
    parts = urlsplit(url)
    found = socket.getaddrinfo(parts.hostname, parts.port or PORTS[parts.scheme], type=socket.SOCK_STREAM)
    addresses = [ip_address(str(each[4][0]).partition("%")[0]) for each in found]
    hidden = [address for address in addresses if not is_public(address)]
    if hidden and not private:
        raise RefusedError(f"{parts.hostname} has an address that is not public")
    return str(addresses[0])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public Internet, and does not stand for another one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in INTERNET or address.sixtofour is not None or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def _parse_host(said: str) -> Allowed:
    parts = urlsplit(said if "://" in said else f"https://{said}")
    if not _is_entry(parts):
        raise ValueError(f"{said!r} is no host: name it as ci.example.org, *.example.org or ci.example.org:8443")
    return Allowed(parts.scheme, (parts.hostname or "").rstrip("."), parts.port or PORTS[parts.scheme])


def _is_entry(parts: SplitResult) -> bool:
    plain = parts.path in {"", "/"} and not (parts.query or parts.fragment or parts.username)
    host = (parts.hostname or "").removeprefix("*.")
    return plain and parts.scheme in PORTS and _is_host(host.rstrip("."))


def _is_host(host: str) -> bool:
    """Whether it is a name, or an address without a zone: that would be a text of the client's choice."""
    try:
        return NAME.fullmatch(host) is not None or IPv6Address(host).scope_id is None
    except ValueError:
        return False
