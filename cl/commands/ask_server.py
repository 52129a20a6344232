"""Ask the project's running server, which has the champion loaded: `cl predict` answers in a second."""

from __future__ import annotations

import json
import logging
import os
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from cl import plugins
from cl.commands._parse_inputs import are_bare, parse_inputs
from cl.serving.announcement import running_server
from cl.stores.opened import OpenProject, open_project
from cl.tasks import Schema, Task, ValueKind

log = logging.getLogger(__name__)
SECONDS = 30.0
"""For an answer; after that, the champion is loaded here."""


@dataclass(frozen=True)
class ServedAnswers:
    """A server's answers to some texts, as `cl.commands.predict.predict_texts` gives them, and its address."""

    url: str
    answers: list[dict[str, Any]]


def ask_server(folder: Path, texts: list[str]) -> ServedAnswers | None:
    """Return the answers of the project's server on this machine; None: none answers with the champion.

    The server logs the questions as it logs any other.
    """
    project = open_project(folder, reading=True)
    url = running_server(project.project)
    if url is None or not url.startswith("http://"):  # what a certificate is good for, its clients know
        return None
    if are_bare(texts, tagger=project.config.pipeline.tagger):
        return None
    task = plugins.build(Task, project.config.task)
    schema = task.schema
    values = parse_inputs(texts, schema)
    try:
        answered = _post(f"{url}/predict", {_field(schema): _in_rows(values, schema)}, _token(project))
    except (OSError, HTTPException, ValueError) as error:
        log.info("%s: %s; the champion is loaded here", url, error)
        return None
    if answered["version"] != project.champion():  # a canary, or a promotion that it has not followed yet
        return None
    return ServedAnswers(
        url,
        [
            {
                "text": text,
                "prediction": task.describe(answer[schema.answer_field]),
                "confidence": answer["confidence"],
                "version": answered["version"],
                "out_of_scope": answer.get("out_of_scope"),
            }
            for text, answer in zip(texts, answered["predictions"], strict=True)
        ],
    )


def _field(schema: Schema) -> str:
    """Return the field of a request with several inputs of the kind that the task has."""
    fields = {ValueKind.TEXT: "texts", ValueKind.WORDS: "tokens"}
    return fields.get(schema.input.kind, "inputs") if schema.input else "inputs"


def _in_rows(values: list[Any], schema: Schema) -> list[Any]:
    """Return inputs as a request has them: those that are not sent bare under the name of their column."""
    column = schema.input
    return values if column is None or column.kind.is_read else [{column.name: value} for value in values]


def _post(url: str, content: dict[str, Any], token: str | None) -> dict[str, Any]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine
    with opener.open(request, timeout=SECONDS) as response:
        result: dict[str, Any] = json.load(response)
        return result


def _token(project: OpenProject) -> str | None:
    """Return a token that the server accepts, if this process has them in its environment."""
    setting = project.config.serve.tokens
    tokens = os.environ.get(setting.removeprefix("env:"), "") if setting else ""
    return next((token.strip() for token in tokens.split(",") if token.strip()), None)
