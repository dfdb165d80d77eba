"""The address that a service listens on."""

from __future__ import annotations

import socket

from tastemaker.errors import InputError

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def listener_at(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a port in use is told before the models load."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # What Python adds in brackets only repeats the address.
        reason = str(error.strerror).partition(" (while")[0]
        raise InputError(
            f"cannot listen on {host}:{port}: {reason}", hint="choose another --host or --port"
        ) from error


def address_of(listener: socket.socket) -> str:
    """Where a socket is reached, as a URL without a path."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
