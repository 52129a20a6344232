"""Middleware for all routes: tokens, rate limits, and bounds on the size and duration of bodies."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Collection
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cl.config.serving import Limits
from cl.serving.auth import BearerTokens
from cl.serving.errors import RequestError, refusal
from cl.serving.graceful_shutdown import GracefulShutdown
from cl.serving.live_stats import LiveStats
from cl.serving.prometheus import Metrics
from cl.serving.rate_limit import RateLimit

OPEN = {"/", "/ping", "/health", "/healthz", "/readyz", "/version", "/openapi.json"}
"""Paths that need no token, as they reveal nothing about texts and answers."""
WRONG_TOKENS_PER_SECOND = 1.0
"""Limit per address, beyond which the answer is 429. It does not affect valid tokens from the same address."""
LARGE = 65_536
"""Bytes from which a body is expensive to reject."""
REFUSALS_PER_SECOND = 5.0
"""Limit of rejected large bodies per address, beyond which error responses are delayed."""
HELD_SECONDS = 0.1
"""The delay: otherwise a client that resends rejected bodies at once would take capacity from others."""


class RequestGuard:
    """An ASGI middleware that admits, rejects and counts requests."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: Limits,
        tokens: BearerTokens | None,
        draining: GracefulShutdown,
        metrics: Metrics,
        live: LiveStats,
        open_paths: Collection[str] = OPEN,
    ) -> None:
        self._app, self._limits, self._tokens, self._open = app, limits, tokens, open_paths
        self._draining, self._metrics, self._live = draining, metrics, live
        self._rates = RateLimit(limits.requests_per_second) if limits.requests_per_second else None
        self._wrong, self._costly = RateLimit(WRONG_TOKENS_PER_SECOND), RateLimit(REFUSALS_PER_SECOND)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Admit or reject a request, and count it either way."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, large = time.perf_counter(), 500, False

        async def send_observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if large and 400 <= status < 500 and self._costly.wait(_address(scope)):
                    await asyncio.sleep(HELD_SECONDS)
                if self._draining.begun:  # the client's next request goes elsewhere instead of being cut off
                    message["headers"] = [*message.get("headers", []), (b"connection", b"close")]
            await send(message)

        try:
            await self._admit(scope)
            body = await self._body(scope, receive)
            large = len(body) > LARGE
            await self._app(scope, replay(body, receive), send_observed)
        except RequestError as error:
            large = error.status == 413
            await refusal(error.status, str(error), error.headers, path=scope["path"])(scope, receive, send_observed)
        finally:
            self._count(scope, status, time.perf_counter() - started)

    async def _admit(self, scope: Scope) -> None:
        headers, address = dict(scope["headers"]), _address(scope)
        client = address
        if self._tokens is not None and scope["path"] not in self._open:
            known = self._tokens.known(headers.get(b"authorization", b""))
            if known is None:
                await self._refuse_token(address)
            client = known or address
        if self._rates is not None and scope["path"] not in self._open and (seconds := self._rates.wait(client)):
            reason = f"more than {self._limits.requests_per_second:g} requests a second"
            raise RequestError(429, reason, {"Retry-After": str(math.ceil(seconds))})
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._limits.body_bytes:
            raise self._too_large()

    async def _refuse_token(self, address: str) -> None:
        if seconds := self._wrong.wait(address):
            await asyncio.sleep(HELD_SECONDS)
            raise RequestError(429, "too many wrong tokens", {"Retry-After": str(math.ceil(seconds))})
        raise RequestError(
            401, "send a token that this server accepts: Authorization: Bearer ...", {"WWW-Authenticate": "Bearer"}
        )

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body, which may arrive in chunks without a declared length."""
        if scope["method"] in ("GET", "HEAD") and not any(
            name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"]
        ):
            return b""
        body, seconds = bytearray(), self._limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "the client went away")
                    body += message.get("body", b"")
                    if len(body) > self._limits.body_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            reason = f"the body did not arrive within {seconds:g} s"
            raise RequestError(408, reason, {"Connection": "close"}) from None

    def _too_large(self) -> RequestError:
        return RequestError(413, f"the body is larger than {self._limits.body_bytes} bytes (serve.limits.body_bytes)")

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", "other")
        self._metrics.requests.labels(path, status).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if path not in self._open:
            self._live.errors += status >= 500
            self._live.refused += 400 <= status < 500


def _address(scope: Scope) -> str:
    return str((scope.get("client") or ("unknown",))[0])


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a receive channel that replays the body and then continues with the original."""
    replayed = False

    async def receive_again() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again
