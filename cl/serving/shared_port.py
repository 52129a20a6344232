"""One port for several workers, each with a listening socket of its own among which the system shares connections.

Of workers that accept from one socket, the one that wakes first takes all that wait: one works, the others idle.
"""

from __future__ import annotations

import socket
import sys
from typing import Any


class OwnSocket(socket.socket):
    """Holds a port without listening on it; what another process gets of it is a new socket on the same port."""

    def __reduce__(self) -> Any:  # type: ignore[override]
        return bind_port, (self.family, self.getsockname())


def share_port(taken: socket.socket) -> socket.socket:
    """Return what to give to all workers in place of a bound socket, which is closed.

    Only Linux shares connections fairly among sockets of one port; elsewhere the workers accept from the one given.
    """
    if sys.platform != "linux":
        return taken
    family, address = taken.family, taken.getsockname()
    taken.close()
    held = OwnSocket(family, socket.SOCK_STREAM)
    _bind(held, address)
    # from here on nobody may bind the port but who asks for a share of it, whether or not a worker listens already
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return held


def bind_port(family: int, address: Any) -> socket.socket:
    """Return a socket of one's own on a port that is shared."""
    own = socket.socket(family, socket.SOCK_STREAM)
    _bind(own, address)
    return own


def _bind(one: socket.socket, address: Any) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    one.bind(address)
