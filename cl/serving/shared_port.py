"""Share one port among workers that each have their own listening socket, so that the kernel balances connections.

If workers accept from the same socket, the first to wake takes all waiting connections and the others idle.
"""

from __future__ import annotations

import socket
import sys
from typing import Any


class OwnSocket(socket.socket):
    """Holds a port without listening on it; another process unpickles it as a new socket on the same port."""

    def __reduce__(self) -> Any:
        return bind_port, (self.family, self.getsockname())


def share_port(bound: socket.socket) -> socket.socket:
    """Close a bound socket and return the socket to pass to all workers instead.

    Only Linux balances connections among sockets of one port; elsewhere all workers accept from the bound socket.
    """
    if sys.platform != "linux":
        return bound
    family, address = bound.family, bound.getsockname()
    bound.close()
    holder = OwnSocket(family, socket.SOCK_STREAM)
    _bind(holder, address)
    # from here on only sockets with SO_REUSEPORT can bind the port, whether or not a worker listens already
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    return holder


def bind_port(family: int, address: Any) -> socket.socket:
    """Return a new socket on a shared port."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    _bind(listener, address)
    return listener


def _bind(unbound: socket.socket, address: Any) -> None:
    unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    unbound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    unbound.bind(address)
