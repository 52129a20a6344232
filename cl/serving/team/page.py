"""The page itself: HTML, style and script of our own, which hold nothing of a project."""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter(include_in_schema=False)
POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
PARTS = ("format.js", "connection.js", "decision.js", "project.js", "page.js")
"""The script, in the order in which its parts need each other."""


@router.get("/", response_class=HTMLResponse)
async def render_page() -> HTMLResponse:
    """Return the page; its script fetches everything else, with a token if one is required."""
    nonce = secrets.token_urlsafe(16)
    return HTMLResponse(
        _template().replace("{{nonce}}", nonce), headers={"Content-Security-Policy": POLICY.format(nonce)}
    )


@cache
def _template() -> str:
    """Return the page with its style and script inlined."""
    folder = Path(__file__).parent / "web"
    style, body = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.html"))
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in PARTS)
    return body.replace("{{style}}", style).replace("{{script}}", script)
