"""The socket that a server listens on: bound before it starts, so that its address can be told."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """Connections are taken from now on. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # uvicorn does so later: whoever reads the address may connect at once
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket, host: str) -> str:
    """Where it is reached."""
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
