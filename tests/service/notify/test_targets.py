"""Where webhooks may go, and the ways around it that others have found."""

import socket
from ipaddress import ip_address
from typing import Any

import pytest

from service.notify.targets import (
    NotConfiguredError,
    RefusedError,
    address_of,
    allowed_hosts,
    check_target,
    is_public,
    parse_hosts,
)
from service.settings import Settings

LIST = "ci.example.org, *.hooks.example.net:8443, http://plain.example.org, CI.Example.COM"


@pytest.mark.parametrize(
    "url",
    [
        "https://ci.example.org/hook?token=1", "https://CI.EXAMPLE.ORG", "https://ci.example.org:443/", "https://ci.example.org./",
        "https://a.hooks.example.net:8443/x", "https://a.b.hooks.example.net:8443/", "http://plain.example.org/x",
        "https://ci.example.com",
    ],
)  # fmt: skip
def test_what_is_on_the_list_may_be_told(url: str) -> None:
    assert check_target(url, parse_hosts(LIST)) == url


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/", "https://evil.org/ci.example.org", "https://ci.example.org.evil.org/",
        "https://evilci.example.org/", "https://ci.example.org:8443/", "http://ci.example.org/",
        "https://hooks.example.net:8443/", "https://evilhooks.example.net:8443/", "https://a.hooks.example.net/",
        "https://plain.example.org/", "https://ci.example.org@evil.org/", "https://user:password@ci.example.org/",
        "https://ci.example.org/#fragment", "ftp://ci.example.org/", "file:///etc/passwd", "//ci.example.org/", "", "x",
        "https:///", "https://ci.example.org:99999/", "https://[::1", "https://ci.example.org/\r\nHost: evil",
        "https://ci.example.org/ x", "https://ci.example.org/\u00e9", "https://ci.example.org/" + "x" * 2000,
        "https://evil.org\\@ci.example.org/", "https://127.0.0.1/", "gopher://ci.example.org",
        "https://a..hooks.example.net:8443/", "https://.hooks.example.net:8443/",
        f"https://{'a' * 64}.hooks.example.net:8443/",
        "https://[::1%.hooks.example.net]:8443/", "https://a%2e.hooks.example.net:8443/",
        "https://a<.hooks.example.net:8443/", f"https://{'a.' * 150}hooks.example.net:8443/",
    ],
)  # fmt: skip
def test_anything_else_may_not(url: str) -> None:
    with pytest.raises(RefusedError):
        check_target(url, parse_hosts(LIST))


def test_without_a_list_nobody_may_be_told() -> None:
    assert allowed_hosts(Settings()) == ()
    with pytest.raises(RefusedError, match="not among the hosts"):
        check_target("https://ci.example.org/", allowed_hosts(Settings()))


@pytest.mark.parametrize(
    "said", ["*", "ftp://x", "a/b", "a b*", "x.*.org", "https://user@x", "x?y", "x:y", "a..b", "b\u00fccher.org"]
)
def test_a_list_that_names_no_host_is_refused(said: str) -> None:
    with pytest.raises(NotConfiguredError, match="GRADIENT_HEALTH_WEBHOOK_HOSTS"):
        allowed_hosts(Settings(webhook_hosts=said, webhook_secret="s" * 32))


def test_who_names_hosts_needs_a_secret() -> None:
    with pytest.raises(NotConfiguredError, match="GRADIENT_HEALTH_WEBHOOK_SECRET"):
        allowed_hosts(Settings(webhook_hosts="x.org", webhook_secret="s" * 31))


# ------------------------------------------------------------------ addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fd00::1",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::",
        "2001:db8::1", "::7f00:1", "::ffff:0:7f00:1", "64:ff9b:1::7f00:1", "fec0::1", "4000::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(ip_address(address))


def leads_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def found(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def test_a_name_that_leads_inside_by_any_of_its_addresses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    leads_to(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(RefusedError, match="not public"):
        address_of("https://ci.example.org/", private=False)
    assert address_of("https://ci.example.org/", private=True) == "8.8.8.8"
    leads_to(monkeypatch, "1.1.1.1", "8.8.8.8")
    assert address_of("https://ci.example.org/", private=False) == "1.1.1.1"
    leads_to(monkeypatch, "fe80::1%eth0")
    with pytest.raises(RefusedError, match="not public"):
        address_of("https://ci.example.org/", private=False)


def test_an_address_in_the_place_of_a_name_is_looked_at_too() -> None:
    for host in ("127.0.0.1", "2130706433", "0x7f.1", "[::1]"):  # C libraries read all of them
        with pytest.raises(RefusedError, match="not public"):
            address_of(f"https://{host}/", private=False)
