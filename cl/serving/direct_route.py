"""A short cut for valid requests to the route that is called most, past FastAPI's routing and dependencies.

FastAPI's own way takes longer than all else that a request costs besides its prediction. A request that is not a valid
one takes that way all the same, so that its answer says what is wrong as on any other route.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from cl.errors import PerennialError
from cl.serving.errors import on_expected_error
from cl.serving.middleware import replay

Endpoint = Callable[[Request, Any], Awaitable[Response]]


class DirectRoute:
    """An ASGI middleware that answers valid requests to one route; it stands inside the request guard."""

    def __init__(self, app: ASGIApp, *, path: str, body: type[BaseModel], endpoint: Endpoint) -> None:
        self._app, self.path, self._body, self._endpoint = app, path, body, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a valid request, and pass any other on."""
        if scope["type"] != "http" or scope["path"] != self.path or not _is_json_post(scope):
            await self._app(scope, receive, send)
            return
        content = (await receive())["body"]  # the guard has read the whole body
        try:
            body = self._body.model_validate(json.loads(content))
        except (ValueError, RecursionError):
            await self._app(scope, replay(content, receive), send)
            return
        scope["route"] = self  # by whose path requests are counted
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request, body)
        except PerennialError as error:
            response = await on_expected_error(request, error)
        await response(scope, receive, send)


def _is_json_post(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return scope["method"] == "POST" and not scope["query_string"] and kinds == [b"application/json"]
