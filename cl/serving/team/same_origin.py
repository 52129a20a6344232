"""Requests of other pages are refused, whether or not a token is needed, and every answer says how it may be used."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cl.serving.errors import RequestError, refusal

OWN = ("same-origin", "none")
"""What a browser says of a request that its own page made, or a person who typed the address."""
HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]


class SameOrigin:
    """An ASGI middleware that admits requests of this server's own page and of programs, not those of other pages.

    A browser names the page that a request comes from: in `Origin` with every POST, and in `Sec-Fetch-Site`. Without a
    token, on this machine alone, these are what keeps a foreign page from approving a version; programs send neither.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message.get("headers", [])}
                extra = [header for header in HEADERS if header[0] not in given]
                message["headers"] = [*message.get("headers", []), *extra]
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            check_origin(scope)
        except RequestError as error:
            await refusal(error.status, str(error), error.headers)(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def check_origin(scope: Scope) -> None:
    """Do nothing if no other page makes this request.

    Raises:
        RequestError: 403, another page makes it; 415, a POST has no JSON, which a form of another page could send.
    """
    headers = {name: value.decode("latin-1").strip() for name, value in scope["headers"]}
    is_page = scope["method"] in ("GET", "HEAD") and not scope["path"].startswith("/api/")
    site, origin = headers.get(b"sec-fetch-site", "none").lower(), headers.get(b"origin")
    if is_page:  # a link from another page may lead here: it shows nothing without the script's own requests
        return
    if site not in OWN or (origin is not None and urlsplit(origin).netloc.lower() != headers.get(b"host", "").lower()):
        raise RequestError(403, "this request comes from another page; open this server's own page")
    kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if scope["method"] not in ("GET", "HEAD") and kind != "application/json":
        raise RequestError(415, "send JSON: Content-Type: application/json")
