"""The page at /: try a text and watch the server; it loads nothing from other hosts."""

from __future__ import annotations

import html
import os
import secrets
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

router = APIRouter(include_in_schema=False)
POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/", response_class=HTMLResponse)
async def render_page(request: Request) -> HTMLResponse:
    """Return the page; its script fetches everything else, with a token if one is required."""
    service, nonce = request.app.state.service, secrets.token_urlsafe(16)
    name = html.escape(service.config.name)
    text = (
        _template().replace("{{nonce}}", nonce).replace("{{name}}", name).replace("{{input}}", service.task.columns[0])
    )
    headers = {
        "Content-Security-Policy": POLICY.format(nonce),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return HTMLResponse(text, headers=headers)


@router.get("/live")
async def render_live(request: Request) -> Response:
    """Return live statistics of this worker; the connection closes, so the next request may reach another worker."""
    service = request.app.state.service
    roles = service.follower.roles
    versions = {role: getattr(roles, role) for role in ("champion", "canary", "shadow")}
    log = service.answer_log
    content: dict[str, Any] = {
        "worker": os.getpid(),
        "versions": {role: model and model.version for role, model in versions.items()},
        "labels": sorted(roles.champion.labels) if roles.champion else [],
        "live": service.live.snapshot(),
        "log": {"waiting": log.waiting, **vars(log.counts)},
    }
    return JSONResponse(content, headers={"Cache-Control": "no-store", "Connection": "close"})


@cache
def _template() -> str:
    """Return the page with its style and script inlined."""
    folder = Path(__file__).parent
    style, script, body = ((folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html"))
    return body.replace("{{style}}", style).replace("{{script}}", script)
