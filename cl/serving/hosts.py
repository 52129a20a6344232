"""Which names a request may call the server by, so that a foreign page cannot reach it through DNS rebinding.

A page of evil.example whose name is made to point to this machine is of one origin with the server, for the browser: it
reads answers and sends labels. Its requests carry its own name, though. An IP address as the name is safe, because a
page of that origin can only come from the server itself.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from cl.serving.errors import RequestError, refusal
from cl.serving.prometheus import Metrics

HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{0,5})?", re.IGNORECASE)
ANY = "*"
SHOWN = 80
"""Most characters of a refused host that the answer repeats."""


class AllowedHosts:
    """Loopback, the address that the server listens on, and the configured names.

    A server that listens on all interfaces is also called by its machine's name and by any IP address, as load
    balancers and probes do. A configured name may be ``*.example.com``, any name below, or ``*``, any at all.
    """

    def __init__(
        self, listens_on: str, configured: Iterable[str], *, remedy: str = "add it to serve.allowed_hosts"
    ) -> None:
        address, names = _address(listens_on), {_normalise(name) for name in configured}
        self._any_address = address is not None and address.is_unspecified
        own = {_normalise(listens_on), *((_normalise(socket.gethostname()),) if self._any_address else ())}
        self._any, self._remedy = ANY in names, remedy
        self._names = {*own, *names, "localhost"}
        self._endings = tuple(name.removeprefix(ANY) for name in {*names, "*.localhost"} if name.startswith("*."))

    def check(self, scope: Scope) -> None:
        """Do nothing if the request's host is allowed.

        Raises:
            RequestError: there is none, there are several, or it is not allowed.
        """
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if not hosts and scope["http_version"] == "1.0":  # a probe; every browser sends it
            return
        if len(hosts) != 1:
            raise RequestError(400, f"expected one Host header, got {len(hosts)}")
        host = hosts[0].decode("latin-1").strip()
        match = HOST.fullmatch(host)
        if match is None:
            raise RequestError(400, f"the Host header {host[:SHOWN]!r} is no name or address")
        if not self._allows(_normalise(match[1])):
            shown = match[1][:SHOWN]
            raise RequestError(421, f"'{shown}' is no name of this server; if it is, {self._remedy}")

    def _allows(self, name: str) -> bool:
        if self._any or name in self._names or name.endswith(self._endings):
            return True
        address = _address(name)
        return address is not None and (self._any_address or address.is_loopback)


class HostCheck:
    """An ASGI middleware that refuses requests for other hosts before anything else looks at them."""

    def __init__(self, app: ASGIApp, *, hosts: AllowedHosts, metrics: Metrics) -> None:
        self._app, self._hosts, self._metrics = app, hosts, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse and count it."""
        try:
            if scope["type"] == "http":
                self._hosts.check(scope)
        except RequestError as error:
            self._metrics.requests.labels("other", error.status).inc()
            await refusal(error.status, str(error), {"Connection": "close"})(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _normalise(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()


def _address(name: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(name)
    except ValueError:
        return None
