"""The routes: /predict and /feedback, MLflow's scoring protocol, health and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from cl.serving.batching.batcher import NotReadyError
from cl.serving.error_body import one_line
from cl.serving.errors import RequestError
from cl.serving.feedback_labels import check_feedback_label, known_labels
from cl.serving.mlflow_protocol import find_problems, format_predictions, read_values
from cl.serving.schemas import (
    KEY_CHARACTERS,
    FailureResponse,
    FeedbackRequest,
    FeedbackResponse,
    PredictRequest,
    PredictResponse,
    ReadyResponse,
)
from cl.serving.served_model import RowAnswer
from cl.serving.traffic_split import RequestAnswer
from cl.serving.worker import ServingWorker

router = APIRouter()
VERSION_HEADER = "X-Model-Version"
ROLE_HEADER = "X-Model-Role"
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FailureResponse, "description": description}
    for status, description in {
        400: "Invalid JSON, or not in the protocol's format",
        401: "Missing or unknown token",
        408: "The body did not arrive in time",
        413: "Too many bytes or texts, or too long a text",
        415: "Unsupported content type",
        421: "A host that serve.allowed_hosts does not have",
        422: "JSON that does not match the schema",
        429: "Too many requests; Retry-After says when to try again",
        431: "Too many headers",
        500: "The version could not answer; nobody gets its answer",
        503: "No champion is loaded yet, or labels cannot be written to the disk",
    }.items()
}
TABLES = {
    "application/json": {
        "schema": {"type": "object"},
        "examples": {
            "dataframe_split": {"value": {"dataframe_split": {"columns": ["text"], "data": [["where is my parcel?"]]}}},
            "dataframe_records": {"value": {"dataframe_records": [{"text": "where is my parcel?"}]}},
            "instances": {"value": {"instances": [{"text": "where is my parcel?"}]}},
            "inputs": {"value": {"inputs": {"text": ["where is my parcel?"]}}},
        },
    },
    "text/csv": {"schema": {"type": "string"}, "example": "text\nwhere is my parcel?\n"},
}
KEY_HEADER = {
    "name": "X-Request-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": KEY_CHARACTERS},
    "description": "For whom the request is made, where the body has no key",
}
"""Read by hand: to find one header, FastAPI compares each with all others."""


@router.post(
    "/predict",
    response_model=PredictResponse,
    response_model_exclude_none=True,
    responses=REFUSALS,
    openapi_extra={"parameters": [KEY_HEADER]},
)
async def predict(request: Request, body: PredictRequest) -> Response:
    """Answer one text, several texts, or lists of tokens; one version answers the whole request."""
    service = _service(request)
    values, key = _read_inputs(service, body), _read_key(request)
    answered = await service.answering.ask(values, key if body.key is None else body.key)
    labels = answered.loaded.labels
    content = {
        "model": service.config.name,
        "version": answered.loaded.version,
        "role": answered.role,
        "predictions": [_to_content(answer, body, labels) for answer in answered.answers],
    }
    return _json_response(content, answered)


@router.post("/feedback", response_model=FeedbackResponse, responses=REFUSALS)
async def feedback(request: Request, body: FeedbackRequest) -> FeedbackResponse:
    """Store the true label of an answer; it is on the disk before the response is sent."""
    service = _service(request)
    if (champion := service.follower.roles.champion) is not None:
        new_labels = service.config.serve.new_labels
        known = known_labels(body.label, champion.labels, champion.former_labels)
        check_feedback_label(body.label, known, new_labels=new_labels, confirmed=body.new_label)
    await service.answering.feedback(body.id, body.label)
    return FeedbackResponse(id=body.id)


@router.post(
    "/invocations",
    responses=REFUSALS,
    openapi_extra={"parameters": [KEY_HEADER], "requestBody": {"content": TABLES, "required": True}},
)
async def invocations(request: Request) -> Response:
    """Answer as `mlflow models serve` does: JSON (dataframe_split, dataframe_records, instances, inputs) or CSV.

    A value that is missing, or is no text, costs its row: its label is null, and `error` says why.
    """
    service = _service(request)
    column, label = service.task.columns
    values = read_values(await request.body(), request.headers.get("content-type", ""), column)
    _check_number(service, values)
    problems = find_problems(values, column)
    values = [value for value, problem in zip(values, problems, strict=True) if problem is None]
    _check_lengths(service, values)
    key = _read_key(request)
    if not values:
        return _json_response(format_predictions([], problems, label), None)
    answered = await service.answering.ask(values, key)
    return _json_response(format_predictions(answered.answers, problems, label), answered)


@router.get(
    "/ping",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}},
        503: {"content": {"application/json": {}}, "model": FailureResponse, "description": "No champion"},
    },
)
@router.get("/health", response_model=None, include_in_schema=False)
async def ping(request: Request) -> Response:
    """Report whether a champion is loaded, as MLflow's servers do."""
    if _service(request).follower.roles.champion is None:
        raise NotReadyError("no champion is loaded yet")
    return Response(b"\n", media_type="text/plain")


@router.get("/version", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def version() -> Response:
    """Return the version of MLflow, whose protocol this server implements."""
    from importlib.metadata import version as installed

    return Response(installed("mlflow"), media_type="text/plain")


@router.get("/healthz", response_model=None)
async def healthz() -> Response:
    """Report that the process is alive."""
    return Response(b'{"alive":true}', media_type="application/json")


@router.get(
    "/readyz", response_model=ReadyResponse, responses={503: {"model": ReadyResponse, "description": "Not ready"}}
)
async def readyz(request: Request) -> Response:
    """Report whether to route requests here: a champion is loaded and the server is not stopping."""
    service = _service(request)
    roles, stopping = service.follower.roles, service.draining.begun
    failed = [failure for failure in list(service.follower.failed.values()) if failure.role == "champion"]
    why = _NOT_READY[service.follower.reachable]
    why = f"version {failed[0].version} cannot be loaded: {failed[0].why}" if failed else why
    why = "stopping" if stopping else why
    ready = roles.champion is not None and not stopping
    content = {
        "ready": ready,
        "champion": roles.champion and roles.champion.version,
        "canary": roles.canary and roles.canary.version,
        "shadow": roles.shadow and roles.shadow.version,
        "why": None if ready else one_line(why),
        "warning": service.by_ledger.warning,
    }
    return Response(to_json(content), 200 if ready else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, 401: REFUSALS[401]})
async def metrics(request: Request) -> Response:
    """Return all metrics in the Prometheus text format."""
    return Response(_service(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


_NOT_READY = {None: "starting", True: "no champion yet", False: "the registry does not answer"}


def _service(request: Request) -> ServingWorker:
    result: ServingWorker = request.app.state.service
    return result


def _read_inputs(service: ServingWorker, body: PredictRequest) -> list[Any]:
    """Return the inputs of the task; for token tasks, split texts at whitespace as `cl predict` does."""
    tokens, values = service.task.columns[0] == "tokens", body.values
    if body.tokens is not None and not tokens:
        raise RequestError(422, f"'{service.config.name}' reads texts; send text or texts, not tokens")
    _check_number(service, values)
    _check_lengths(service, values)
    return [value.split() if tokens and isinstance(value, str) else value for value in values]


def _read_key(request: Request) -> str | None:
    key = request.headers.get("x-request-key")
    if key is not None and len(key) > KEY_CHARACTERS:
        raise RequestError(422, f"X-Request-Key: expected at most {KEY_CHARACTERS} characters, got {len(key)}")
    return key


def _check_number(service: ServingWorker, values: list[Any]) -> None:
    most = service.settings.limits.texts
    if len(values) > most:
        raise RequestError(413, f"{len(values)} texts in one request; at most {most} (serve.limits.texts)")


def _check_lengths(service: ServingWorker, values: list[Any]) -> None:
    limits = service.settings.limits
    longest = max((len(value) if isinstance(value, str) else len(" ".join(value)) for value in values), default=0)
    if longest > limits.characters:
        reason = f"a text of {longest} characters; at most {limits.characters} (serve.limits.characters)"
        raise RequestError(413, reason)


def _to_content(answer: RowAnswer, body: PredictRequest, labels: list[str]) -> dict[str, Any]:
    single = isinstance(answer.value, str)
    content: dict[str, Any] = {
        "id": answer.id,
        "label": answer.value,
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
