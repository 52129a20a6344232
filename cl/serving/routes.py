"""The routes: /predict and /feedback of our own, MLflow's scoring protocol, health, and metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import APIRouter, Header, Request, Response
from pydantic_core import to_json

from cl.serving.batching.batcher import NotReadyError
from cl.serving.errors import RequestError
from cl.serving.mlflow_protocol import format_predictions, parse_invocation
from cl.serving.request_handler import HandledRequest
from cl.serving.schemas import (
    FailureResponse,
    FeedbackRequest,
    FeedbackResponse,
    PredictRequest,
    PredictResponse,
    ReadyResponse,
)
from cl.serving.served_model import RowAnswer
from cl.serving.worker import ServingWorker

router = APIRouter()
VERSION_HEADER = "X-Model-Version"
ROLE_HEADER = "X-Model-Role"
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": FailureResponse, "description": told}
    for status, told in {
        400: "No JSON, or not in the protocol's format",
        401: "No token, or one that this server does not know",
        408: "The body did not come in time",
        413: "Too many bytes or texts, or a text that is too long",
        415: "A content type that is not read here",
        422: "JSON that is no such request",
        429: "Too many requests; Retry-After says when to try again",
        503: "No champion is loaded yet, or the disk does not take labels",
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


@router.post("/predict", response_model=PredictResponse, response_model_exclude_none=True, responses=REFUSALS)
async def predict(
    request: Request, asked: PredictRequest, x_request_key: str | None = Header(None, max_length=256)
) -> Response:
    """Answer one text, several, or lists of tokens; all of a request's answers come from one version."""
    service = _service(request)
    values = _inputs(service, asked)
    answered = await service.answering.ask(values, x_request_key if asked.key is None else asked.key)
    labels = answered.loaded.labels
    told = {
        "model": service.config.name,
        "version": answered.loaded.version,
        "role": answered.role,
        "predictions": [
            {"id": id, **_described(answer, asked, labels)}
            for id, answer in zip(answered.ids, answered.answers, strict=True)
        ],
    }
    return _json(told, answered)


@router.post("/feedback", response_model=FeedbackResponse, responses=REFUSALS)
async def feedback(request: Request, told: FeedbackRequest) -> FeedbackResponse:
    """Take the right label of an answer; it is on the disk when this is answered."""
    await _service(request).answering.feedback(told.id, told.label)
    return FeedbackResponse(id=told.id)


@router.post("/invocations", responses=REFUSALS, openapi_extra={"requestBody": {"content": TABLES, "required": True}})
async def invocations(request: Request) -> Response:
    """Answer as `mlflow models serve` does: JSON (dataframe_split, dataframe_records, instances, inputs) or CSV."""
    service = _service(request)
    column, label = service.task.columns
    values = parse_invocation(await request.body(), request.headers.get("content-type", ""), column)
    _bounded(service, values)
    key = request.headers.get("x-request-key")
    if not values:
        return _json({"predictions": []}, None)
    answered = await service.answering.ask(values, key)
    return _json(format_predictions(answered.answers, label), answered)


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
    """Tell whether a champion answers, as MLflow's servers do."""
    if _service(request).follower.roles.champion is None:
        raise NotReadyError("no champion is loaded yet")
    return Response(b"\n", media_type="text/plain")


@router.get("/version", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def version() -> Response:
    """Tell the version of MLflow whose protocol this is."""
    from importlib.metadata import version as installed

    return Response(installed("mlflow"), media_type="text/plain")


@router.get("/healthz", response_model=None)
async def healthz() -> Response:
    """Tell that the process lives."""
    return Response(b'{"alive":true}', media_type="application/json")


@router.get(
    "/readyz", response_model=ReadyResponse, responses={503: {"model": ReadyResponse, "description": "Not ready"}}
)
async def readyz(request: Request) -> Response:
    """Tell whether requests should come here: a champion answers and the server is not stopping."""
    service = _service(request)
    roles, stopping = service.follower.roles, service.draining.begun
    failed = [one for one in list(service.follower.failed.values()) if one.role == "champion"]
    why = _WHY_NOT[service.follower.reachable]
    why = f"version {failed[0].version} cannot be loaded: {failed[0].why}" if failed else why
    why = "stopping" if stopping else why
    ready = roles.champion is not None and not stopping
    told = {
        "ready": ready,
        "champion": roles.champion and roles.champion.version,
        "canary": roles.canary and roles.canary.version,
        "shadow": roles.shadow and roles.shadow.version,
        "why": None if ready else why,
    }
    return Response(to_json(told), 200 if ready else 503, media_type="application/json")


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, 401: REFUSALS[401]})
async def metrics(request: Request) -> Response:
    """Tell all counts in Prometheus' text format."""
    return Response(_service(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


_WHY_NOT = {None: "starting", True: "no champion yet", False: "the registry does not answer"}


def _service(request: Request) -> ServingWorker:
    return request.app.state.service


def _inputs(service: ServingWorker, asked: PredictRequest) -> list[Any]:
    """Return what the task reads: texts for a task of tokens are split at spaces, as `cl predict` does."""
    tokens, values = service.task.columns[0] == "tokens", asked.values
    if asked.tokens is not None and not tokens:
        raise RequestError(422, f"'{service.config.name}' reads texts; send text or texts, not tokens")
    _bounded(service, values)
    return [value.split() if tokens and isinstance(value, str) else value for value in values]


def _bounded(service: ServingWorker, values: list[Any]) -> None:
    limits = service.settings.limits
    if len(values) > limits.texts:
        raise RequestError(413, f"{len(values)} texts in one request; at most {limits.texts} (serve.limits.texts)")
    longest = max((len(value) if isinstance(value, str) else len(" ".join(value)) for value in values), default=0)
    if longest > limits.characters:
        told = f"a text of {longest} characters; at most {limits.characters} (serve.limits.characters)"
        raise RequestError(413, told)


def _described(answer: RowAnswer, asked: PredictRequest, labels: list[str]) -> dict[str, Any]:
    single = isinstance(answer.value, str)
    told: dict[str, Any] = {
        "label": answer.value,
        "confidence": round(answer.confidence, 6),
        "out_of_scope": answer.out_of_scope,
    }
    if asked.top_k is not None:
        tops = [_top(one, asked.top_k, labels) for one in answer.probabilities]
        told["top"] = tops[0] if single else tops
    if asked.probabilities:
        every = [
            {label: round(float(p), 6) for label, p in zip(labels, one, strict=True)} for one in answer.probabilities
        ]
        told["probabilities"] = every[0] if single else every
    return told


def _top(probabilities: np.ndarray, most: int, labels: list[str]) -> list[dict[str, Any]]:
    best = np.argsort(-probabilities, kind="stable")[:most]
    return [{"label": labels[place], "probability": round(float(probabilities[place]), 6)} for place in best]


def _json(told: dict[str, Any], answered: HandledRequest | None) -> Response:
    headers = {VERSION_HEADER: answered.loaded.version, ROLE_HEADER: answered.role} if answered else {}
    return Response(to_json(told), headers=headers, media_type="application/json")
