"""The routes that answer: /predict, /feedback, and MLflow's scoring protocol, made for the task that is served."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic_core import to_json

from cl.models.input_problems import row_problem
from cl.plugins import Capability
from cl.serving.direct_route import DirectRoute
from cl.serving.errors import RequestError
from cl.serving.feedback_labels import check_feedback_label, known_labels
from cl.serving.mlflow_protocol import find_problems, format_predictions, read_values
from cl.serving.relations import answer_relations
from cl.serving.request_models import Bodies, bodies_of, input_example
from cl.serving.routes import REFUSALS, service_of
from cl.serving.schemas import KEY_CHARACTERS, FailureResponse, FeedbackResponse
from cl.serving.served_model import RowAnswer
from cl.serving.traffic_split import RequestAnswer
from cl.serving.worker import ServingWorker
from cl.tasks import Schema, Task, ValueKind

VERSION_HEADER = "X-Model-Version"
ROLE_HEADER = "X-Model-Role"
NOT_LOGGED: dict[int | str, dict[str, Any]] = {
    404: {"model": FailureResponse, "description": "The log has no answer of this id, for a thumb"}
}
KEY_HEADER = {
    "name": "X-Request-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": KEY_CHARACTERS},
    "description": "For whom the request is made, where the body has no key",
}
"""Read by hand: to find one header, FastAPI compares each with all others."""


def add_answering_routes(app: FastAPI, task: Task, *, finds_spans: bool = False) -> None:
    """Add the routes that take a task's inputs and answers, with the bodies that its schema says.

    Call it before any middleware is added.

    Args:
        app: the application.
        task: what is answered.
        finds_spans: a tagger finds the spans of texts that come without.
    """
    router, bodies = APIRouter(), bodies_of(task, finds_spans=finds_spans)
    header: dict[str, Any] = {"parameters": [KEY_HEADER]}

    async def predict(request: Request, body: Any) -> Response:
        """Answer one text, several texts, or lists of tokens; one version answers the whole request."""
        return await _predict(service_of(request), bodies, request, body)

    async def feedback(request: Request, body: Any) -> FeedbackResponse:
        """Store the true label of an answer; it is on the disk before the response is sent."""
        return await _store_feedback(service_of(request), body)

    predict.__annotations__["body"], feedback.__annotations__["body"] = bodies.predict, bodies.feedback
    if bodies.rows:
        predict.__doc__ = "Answer one row of inputs, or several; one version answers the whole request."
    router.post(
        "/predict",
        response_model=bodies.answers,
        response_model_exclude_none=True,
        responses=REFUSALS,
        openapi_extra=header,
    )(predict)
    refusals = REFUSALS | (NOT_LOGGED if Capability.WRITING in task.provides else {})
    router.post("/feedback", response_model=FeedbackResponse, responses=refusals)(feedback)
    tables = {"requestBody": {"content": _tables(task.schema, bodies), "required": True}}
    router.post("/invocations", responses=REFUSALS, openapi_extra={**header, **tables})(invocations)
    app.include_router(router)
    app.add_middleware(DirectRoute, path="/predict", body=bodies.predict, endpoint=predict)


async def _predict(service: ServingWorker, bodies: Bodies, request: Request, body: Any) -> Response:
    if (body.top_k is not None or body.probabilities) and Capability.PROBABILITIES not in service.task.provides:
        raise RequestError(
            422, f"'{service.config.name}' has no {Capability.PROBABILITIES.value}; leave out top_k and probabilities"
        )
    if bodies.texts and (texts := body.bare_texts):
        return await _relate(service, request, body, texts)
    values, key = _read_inputs(service, bodies, body), read_key(request)
    answered = await service.answering.ask(values, key if body.key is None else body.key)
    labels, schema = answered.loaded.labels, service.task.schema
    content = {
        "model": service.config.name,
        "version": answered.loaded.version,
        "role": answered.role,
        "predictions": [_to_content(answer, body, labels, schema) for answer in answered.answers],
    }
    return _json_response(content, answered)


async def _relate(service: ServingWorker, request: Request, body: Any, texts: list[str]) -> Response:
    """Answer bare texts with the relations in them."""
    if body.top_k is not None or body.probabilities:
        raise RequestError(422, "top_k and probabilities come with input and inputs, not with text and texts")
    _check_number(service, texts)
    check_lengths(service, texts)
    key = read_key(request)
    content, answered = await answer_relations(service, texts, key if body.key is None else body.key)
    return _json_response(content, answered)


async def _store_feedback(service: ServingWorker, body: Any) -> FeedbackResponse:
    schema = service.task.schema
    kind, answer = schema.answer.kind, getattr(body, schema.answer_field)
    if kind.names_classes and (champion := service.follower.roles.champion) is not None:
        known = known_labels(kind, answer, champion.labels, champion.former_labels)
        check_feedback_label(kind, answer, known, new_labels=service.config.serve.new_labels, confirmed=body.new_label)
    thumb = getattr(body, "thumb", None)
    if service.task.measures_texts and thumb is None:
        raise RequestError(422, f"{schema.answer_field} is measured, no answer; a thumb up learns the text")
    if thumb is None:
        await service.answering.feedback(body.id, answer)
    elif not await service.answering.thumb(body.id, thumb):
        raise RequestError(404, f"the log has no answer {body.id}; send the right answer, or a thumb for a logged one")
    return FeedbackResponse(id=body.id)


async def invocations(request: Request) -> Response:
    """Answer as `mlflow models serve` does: JSON (dataframe_split, dataframe_records, instances, inputs) or CSV.

    A value that is missing, or is no text, costs its row: its label is null, and `error` says why.
    """
    service = service_of(request)
    schema = service.task.schema
    values = read_values(await request.body(), request.headers.get("content-type", ""), schema)
    _check_number(service, values)
    problems = find_problems(values, schema)
    values = [value for value, problem in zip(values, problems, strict=True) if problem is None]
    check_lengths(service, values)
    key = read_key(request)
    if not values:
        return _json_response(format_predictions([], problems, schema.answer.name), None)
    answered = await service.answering.ask(values, key)
    return _json_response(format_predictions(answered.answers, problems, schema.answer.name), answered)


def _tables(schema: Schema, bodies: Bodies) -> dict[str, Any]:
    """Return the forms of tables that /invocations takes, with an example of each."""
    row = input_example(schema) if bodies.rows else {"text": "where is my parcel?"}
    forms: dict[str, Any] = {
        "dataframe_split": {"columns": list(row), "data": [list(row.values())]},
        "dataframe_records": [row],
        "instances": [row],
        "inputs": {name: [value] for name, value in row.items()},
    }
    tables: dict[str, Any] = {
        "application/json": {
            "schema": {"type": "object"},
            "examples": {name: {"value": {name: content}} for name, content in forms.items()},
        }
    }
    if all(isinstance(value, str) for value in row.values()):
        cells = (value if len(row) == 1 else json.dumps(value, ensure_ascii=False) for value in row.values())
        example = f"{','.join(row)}\n{','.join(cells)}\n"
        tables["text/csv"] = {"schema": {"type": "string"}, "example": example}
    return tables


def _read_inputs(service: ServingWorker, bodies: Bodies, body: Any) -> list[Any]:
    """Return the inputs of the task; where it reads words, split texts at whitespace as `cl predict` does."""
    schema = service.task.schema
    values = bodies.values(body, schema)
    words = schema.input is not None and schema.input.kind is ValueKind.WORDS
    if not bodies.rows and body.tokens is not None and not words:
        raise RequestError(422, f"'{service.config.name}' reads texts; send text or texts, not tokens")
    _check_number(service, values)
    check_lengths(service, values)
    if bodies.rows:
        for number, value in enumerate(values):
            row = value if schema.input is None else {schema.input.name: value}
            if problem := row_problem(row, schema):
                raise RequestError(422, f"inputs[{number}]: {problem}" if body.input is None else f"input: {problem}")
    return [value.split() if words and isinstance(value, str) else value for value in values]


def read_key(request: Request) -> str | None:
    """Return the request key in the header.

    Raises:
        RequestError: it is too long.
    """
    key = request.headers.get("x-request-key")
    if key is not None and len(key) > KEY_CHARACTERS:
        raise RequestError(422, f"X-Request-Key: expected at most {KEY_CHARACTERS} characters, got {len(key)}")
    return key


def _check_number(service: ServingWorker, values: list[Any]) -> None:
    most = service.settings.limits.texts
    if len(values) > most:
        raise RequestError(413, f"{len(values)} texts in one request; at most {most} (serve.limits.texts)")


def check_lengths(service: ServingWorker, values: list[Any]) -> None:
    """Refuse inputs with longer texts than `serve.limits.characters`.

    Raises:
        RequestError: 413.
    """
    limits = service.settings.limits
    longest = max(map(_longest_text, values), default=0)
    if longest > limits.characters:
        reason = f"a text of {longest} characters; at most {limits.characters} (serve.limits.characters)"
        raise RequestError(413, reason)


def _longest_text(value: Any) -> int:
    """Return the characters of a text, of words, or of the longest of several inputs."""
    if isinstance(value, dict):
        return max(map(_longest_text, value.values()), default=0)
    return len(value) if isinstance(value, str) else len(" ".join(map(str, value or ())))


def _to_content(answer: RowAnswer, body: Any, labels: list[str], schema: Schema) -> dict[str, Any]:
    single = schema.answer.kind is not ValueKind.TAGS
    content: dict[str, Any] = {
        "id": answer.id,
        schema.answer_field: answer.value,
        "confidence": round(answer.confidence, 6),
        "out_of_scope": answer.out_of_scope,
    }
    if body.top_k is not None:
        tops = [_top_labels(row, body.top_k, labels) for row in answer.probabilities]
        content["top"] = tops[0] if single else tops
    if body.probabilities:
        by_label = [
            {label: round(float(p), 6) for label, p in zip(labels, row, strict=True)} for row in answer.probabilities
        ]
        content["probabilities"] = by_label[0] if single else by_label
    return content


def _top_labels(probabilities: np.ndarray, count: int, labels: list[str]) -> list[dict[str, Any]]:
    best = np.argsort(-probabilities, kind="stable")[:count]
    return [{"label": labels[index], "probability": round(float(probabilities[index]), 6)} for index in best]


def _json_response(content: dict[str, Any], answered: RequestAnswer | None) -> Response:
    headers = {VERSION_HEADER: answered.loaded.version, ROLE_HEADER: answered.role} if answered else {}
    return Response(to_json(content), headers=headers, media_type="application/json")
