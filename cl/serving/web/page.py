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

from cl.plugins import Capability
from cl.tasks import Column, Task, ValueKind, as_one_line

FIELD = """      <label for="text" class="unseen">Text</label>
      <textarea id="text" rows="3" maxlength="20000" required placeholder="where is my parcel?"></textarea>"""
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
    text = _template()
    for key, value in {**_parts(service.task), "nonce": nonce, "name": name}.items():
        text = text.replace(f"{{{{{key}}}}}", value)
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


def _parts(task: Task) -> dict[str, str]:
    """Return what the page says about the inputs and the answers of a task."""
    schema = task.schema
    kind, several = schema.answer.kind, schema.input is None or not schema.input.kind.is_read
    named = "Correct label" if kind.names_classes else f"Correct {schema.answer_field.replace('_', ' ')}"
    may_be_empty = kind in (ValueKind.LABELS, ValueKind.TEXTS, ValueKind.NUMBERS)
    return {
        "input": "row" if several else str(schema.input and schema.input.kind),
        "answer": str(kind),
        "field": html.escape(schema.answer_field),
        "top": "yes" if Capability.PROBABILITIES in task.provides else "no",
        "try": "Try a row" if several else "Try a text",
        "fields": "\n".join(map(_field, schema.inputs)) if several else FIELD,
        "correct": html.escape(named),
        "longest": "500" if kind is ValueKind.LABEL else "20000",
        "needed": "" if may_be_empty else " required",
    }


def _field(column: Column) -> str:
    """Return the field of an input, under its name."""
    name, kind = html.escape(column.name), column.kind
    attributes = f'id="input-{name}" data-column="{name}" data-kind="{kind}" maxlength="20000"'
    attributes += "" if column.optional else " required"
    example = html.escape(as_one_line(kind, column.example))
    label = f'      <label for="input-{name}">{html.escape(column.name.replace("_", " ").capitalize())}</label>\n'
    if kind in (ValueKind.TEXT, ValueKind.MESSAGES):
        return f'{label}      <textarea {attributes} rows="3" placeholder="{example}"></textarea>'
    return f'{label}      <input {attributes} placeholder="{example}">'


@cache
def _template() -> str:
    """Return the page with its style and script inlined."""
    folder = Path(__file__).parent
    style, script, body = ((folder / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js", "html"))
    return body.replace("{{style}}", style).replace("{{script}}", script)
