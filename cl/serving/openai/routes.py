"""OpenAI's routes, for a project whose task writes text: chat completions, completions and models.

An answer is logged, counted and compared as those of /predict are, and its id is what /feedback takes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from cl.errors import PerennialError
from cl.models.input_problems import row_problem
from cl.serving.answering_routes import ROLE_HEADER, VERSION_HEADER, check_lengths, read_key
from cl.serving.error_body import openai_error_body
from cl.serving.errors import RequestError, status_of
from cl.serving.openai.bodies import DONE, AnswerBody, event, model_body
from cl.serving.openai.messages import input_of_chat, input_of_prompt
from cl.serving.openai.schemas import ChatRequest, CompletionRequest, OpenAIRequest
from cl.serving.request_handler import Arrival
from cl.serving.routes import service_of
from cl.serving.worker import ServingWorker
from cl.serving.writing.writer import OpenAnswer, Writer

router = APIRouter(prefix="/v1")
STREAM = "text/event-stream"
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer, in OpenAI's form", "content": {"application/json": {}, STREAM: {}}},
    "4XX": {"description": "What is wrong with the request, in OpenAI's form", "content": {"application/json": {}}},
    "5XX": {"description": "Why it cannot be answered, in OpenAI's form", "content": {"application/json": {}}},
}


@router.post("/chat/completions", response_class=Response, responses=ANSWERS)
async def chat_completions(request: Request, body: ChatRequest) -> Response:
    """Continue a conversation."""
    service = service_of(request)
    return await _respond(service, request, body, input_of_chat(body.messages, service.task), chat=True)


@router.post("/completions", response_class=Response, responses=ANSWERS)
async def completions(request: Request, body: CompletionRequest) -> Response:
    """Answer a prompt, which is put as the task puts its prompts."""
    service = service_of(request)
    return await _respond(service, request, body, input_of_prompt(body.text, service.task), chat=False)


@router.get("/models", response_class=Response, responses=ANSWERS)
async def models(request: Request) -> Response:
    """List the project as the one model that this server has, with the version of each role."""
    content = {"object": "list", "data": [_model(service_of(request))]}
    return Response(to_json(content), media_type="application/json")


@router.get("/models/{name}", response_class=Response, responses=ANSWERS)
async def model(request: Request, name: str) -> Response:
    """Return the project as a model."""
    service = service_of(request)
    _check_model(service, name)
    return Response(to_json(_model(service)), media_type="application/json")


def _model(service: ServingWorker) -> dict[str, Any]:
    roles = service.follower.roles
    models = {"champion": roles.champion, "canary": roles.canary, "shadow": roles.shadow}
    return model_body(service.config.name, {role: model.version for role, model in models.items() if model})


def _check_model(service: ServingWorker, name: str) -> None:
    own = service.config.name
    if name != own:
        raise RequestError(404, f"there is no model {name[:80]!r} here; this server answers for {own!r}")


async def _respond(
    service: ServingWorker, request: Request, body: OpenAIRequest, value: Any, *, chat: bool
) -> Response:
    _check_model(service, body.model)
    _check_input(service, value)
    decoding, most = body.decoding(), service.settings.writing.max_new_tokens
    if decoding.max_new_tokens is not None and decoding.max_new_tokens > most:
        asked = decoding.max_new_tokens
        raise RequestError(422, f"max_tokens: {asked} tokens; at most {most} (serve.writing.max_new_tokens)")
    arrival = Arrival([value], read_key(request) if body.user is None else body.user)
    writer = service.batcher
    assert isinstance(writer, Writer)
    with service.answering.counting_failures(arrival):
        opened = await writer.write(value, service.answering.role_of(arrival), decoding, body.form)
        try:
            await opened.begin()
        except BaseException:
            opened.close()
            raise
    loaded = opened.request.loaded
    answer = AnswerBody(opened.row.id, f"{service.config.name}@{loaded.version}", _fingerprint(opened), chat)
    headers = {VERSION_HEADER: loaded.version, ROLE_HEADER: opened.request.role}
    pieces = _pieces(service, opened, arrival)
    if body.stream:
        events = _events(pieces, opened, answer, counts=body.wants_usage)
        return StreamingResponse(events, headers={**headers, "Cache-Control": "no-cache"}, media_type=STREAM)
    text = await _whole(request, pieces)
    return Response(answer.whole(opened.row, text), headers=headers, media_type="application/json")


def _check_input(service: ServingWorker, value: Any) -> None:
    check_lengths(service, [value])
    schema = service.task.schema
    row = value if schema.input is None else {schema.input.name: value}
    if problem := row_problem(row, schema):
        raise RequestError(422, problem)


async def _pieces(service: ServingWorker, opened: OpenAnswer, arrival: Arrival) -> AsyncGenerator[str]:
    """Yield the pieces of an answer, and count and log it when it is complete."""
    writer, request = service.batcher, opened.request
    assert isinstance(writer, Writer)
    try:
        with service.answering.counting_failures(arrival):
            async for piece in opened.pieces():
                yield piece
        # what is drawn differs for its own sake, so that nothing can be compared
        copying = None if request.decoding.temperature else partial(writer.copy, like=request)
        service.answering.conclude(arrival, request.answer(), copying)
    finally:
        opened.close()


async def _whole(request: Request, pieces: AsyncGenerator[str]) -> str:
    """Return the text of an answer.

    Raises:
        RequestError: the client went away meanwhile; the rest is not written.
    """
    text = ""
    async for piece in pieces:
        text += piece
        if await request.is_disconnected():
            await pieces.aclose()
            raise RequestError(400, "the client went away")
    return text


async def _events(
    pieces: AsyncIterator[str], opened: OpenAnswer, answer: AnswerBody, *, counts: bool
) -> AsyncIterator[bytes]:
    """Yield the server-sent events of an answer; one that fails ends with the error."""
    yield answer.first()
    try:
        async for piece in pieces:
            yield answer.piece(piece)
    except PerennialError as error:
        yield event(openai_error_body(status_of(error)[0], str(error)))
        return
    finally:
        opened.close()
    yield answer.last(opened.row)
    if counts:
        yield answer.counts(opened.row)
    yield DONE


def _fingerprint(opened: OpenAnswer) -> str:
    base = opened.request.loaded.learner.base
    return f"fp_{base.digest[:12]}" if base else "fp_none"
