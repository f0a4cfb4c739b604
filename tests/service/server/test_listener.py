import socket

import pytest

from service.server.listener import listen, url_of


@pytest.mark.parametrize(("host", "url"), [("127.0.0.1", "http://127.0.0.1:{}"), ("::1", "http://[::1]:{}")])
def test_who_reads_the_address_may_connect_at_once(host: str, url: str) -> None:
    try:
        listener = listen(host, 0)
    except OSError:
        assert host == "::1", "a machine without IPv6"
        pytest.skip("no IPv6 here")
    with listener:
        port = listener.getsockname()[1]
        assert url_of(listener, host) == url.format(port)
        socket.create_connection((host, port), timeout=5).close()


def test_an_address_that_is_taken_is_refused() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])
