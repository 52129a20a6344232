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


def claim_port(host: str, port: int) -> socket.socket:
    """Return a socket that holds a port alone, and is passed to all workers; port 0 takes a free one.

    Raises:
        OSError: the port is in use, this user may not have it, or this machine does not have the address.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a server that died do not count
        bound.bind((host, port))
        return share_port(bound)
    except OSError:
        bound.close()
        raise


def share_port(bound: socket.socket) -> socket.socket:
    """Close a bound socket and return the socket to pass to all workers instead.

    Only Linux balances connections among sockets of one port; elsewhere all workers accept from the bound socket.

    Raises:
        OSError: another process has bound the port at the same moment, and was first.
    """
    bound.listen(1)  # two processes may bind a port at once, but the system lets only one of them listen
    if sys.platform != "linux":
        return bound
    family, address = bound.family, bound.getsockname()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # so that the holder gets the port while it is held
    holder = OwnSocket(family, socket.SOCK_STREAM)
    _bind(holder, address)
    # from here on only sockets with SO_REUSEPORT can bind the port, whether or not a worker listens already
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    bound.close()
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
