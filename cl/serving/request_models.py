"""The bodies of requests and responses for a task, made from its schema.

A task with one text, or one list of words, has those that `cl.serving.schemas` writes out; any other gets models whose
fields are its columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from typing_extensions import TypedDict

from cl.plugins import Capability
from cl.serving.schemas import (
    ANSWER_ID,
    FeedbackRequest,
    Label,
    PredictionBody,
    PredictRequest,
    PredictResponse,
    RequestBody,
    Sentence,
    Tags,
    Text,
)
from cl.tasks import Column, Schema, Task, ValueKind

MOST_PARTS = 10_000


class Turn(TypedDict):
    """A turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: Text


TYPES: dict[ValueKind, Any] = {
    ValueKind.TEXT: Text,
    ValueKind.WORDS: Sentence,
    ValueKind.SPAN: Annotated[list[int], Field(min_length=2, max_length=2)],
    ValueKind.LABEL: Label,
    ValueKind.LABELS: Annotated[list[Label], Field(max_length=MOST_PARTS, fail_fast=True)],
    ValueKind.TAGS: Tags,
    ValueKind.TEXTS: Annotated[list[Text], Field(max_length=MOST_PARTS, fail_fast=True)],
    ValueKind.MESSAGES: Annotated[list[Turn], Field(min_length=1, max_length=MOST_PARTS, fail_fast=True)],
    ValueKind.NUMBERS: Annotated[list[int], Field(max_length=MOST_PARTS, fail_fast=True)],
}
"""The JSON form of a value, by its kind."""
EXAMPLE_ID = "0d0a3d1c-6e0c-4b53-a0b7-4f1f0f0f6f3a"


class RowsRequest(RequestBody):
    """One row of inputs, or several."""

    @model_validator(mode="after")
    def _check_single_input(self) -> RowsRequest:
        if sum(getattr(self, name) is not None for name in ("input", "inputs")) != 1:
            raise ValueError("send exactly one of input and inputs")
        return self


@dataclass(frozen=True)
class Bodies:
    """What a task's routes take and return.

    ``rows``: inputs come as objects with the task's columns, not as texts or tokens.
    """

    predict: type[BaseModel]
    answers: type[BaseModel]
    feedback: type[BaseModel]
    rows: bool

    def values(self, body: Any, schema: Schema) -> list[Any]:
        """Return the inputs in a request: bare values of a single input, else a mapping for each row."""
        if not self.rows:
            values: list[Any] = body.values
            return values
        listed = [body.input] if body.input is not None else body.inputs
        rows = [{name: getattr(row, name) for name in schema.input_names} for row in listed]
        return rows if schema.input is None else [row[schema.input.name] for row in rows]


def bodies_of(task: Task) -> Bodies:
    """Return the bodies for a task."""
    schema = task.schema
    rows = schema.input is None or not schema.input.kind.is_read
    written = schema.answer.kind in (ValueKind.LABEL, ValueKind.TAGS)
    return Bodies(
        predict=_predict_request(schema) if rows else PredictRequest,
        answers=PredictResponse if written else _predict_response(task),
        feedback=FeedbackRequest if written else _feedback_request(schema),
        rows=rows,
    )


def input_example(schema: Schema) -> dict[str, Any]:
    """Return a row of inputs, by their names."""
    return {column.name: column.example for column in schema.inputs}


def _predict_request(schema: Schema) -> type[BaseModel]:
    fields: dict[str, Any] = {column.name: _field(column) for column in schema.inputs}
    row = create_model("InputRow", __base__=RequestBody, __doc__="The inputs of one row.", **fields)
    example = input_example(schema)
    shared: dict[str, Any] = {
        name: (PredictRequest.model_fields[name].annotation, PredictRequest.model_fields[name])
        for name in ("top_k", "probabilities", "key")
    }
    wanted: dict[str, Any] = {
        "input": (row | None, Field(None, description="One row")),
        "inputs": (
            Annotated[list[row], Field(min_length=1, fail_fast=True)] | None,
            Field(None, description="Several rows"),
        ),
    }
    model = create_model("PredictRequest", __base__=RowsRequest, __doc__=RowsRequest.__doc__, **wanted, **shared)
    return _with_examples(model, [{"input": example}, {"inputs": [example]}])


def _predict_response(task: Task) -> type[BaseModel]:
    answer, field = task.schema.answer, task.schema.answer_field
    fields: dict[str, Any] = {
        "id": (str, PredictionBody.model_fields["id"]),
        field: (TYPES[answer.kind], Field(description=answer.description)),
        **{
            name: (PredictionBody.model_fields[name].annotation, PredictionBody.model_fields[name])
            for name in ("confidence", "out_of_scope")
        },
    }
    if Capability.PROBABILITIES in task.provides:
        names = ("top", "probabilities")
        fields |= {n: (PredictionBody.model_fields[n].annotation, PredictionBody.model_fields[n]) for n in names}
    prediction = create_model("PredictionBody", __doc__="The answer to one row.", **fields)
    example = {"id": EXAMPLE_ID, field: answer.example, "confidence": 0.97, "out_of_scope": False}
    model = create_model(
        "PredictResponse",
        __doc__="Answers in the order of the rows, and the version that gave them.",
        model=(str, ...),
        version=(str, ...),
        role=(str, PredictResponse.model_fields["role"]),
        predictions=(list[prediction], ...),
    )
    whole = {"model": "support", "version": "7", "role": "champion", "predictions": [example]}
    return _with_examples(model, [whole])


def _feedback_request(schema: Schema) -> type[BaseModel]:
    answer, field = schema.answer, schema.answer_field
    fields: dict[str, Any] = {
        "id": (str, Field(pattern=ANSWER_ID, description="Id of the answer")),
        field: (TYPES[answer.kind], Field(description=f"What is right: {answer.description}")),
    }
    if answer.kind.names_classes:
        known = FeedbackRequest.model_fields["new_label"]
        fields["new_label"] = (known.annotation, known)
    model = create_model("FeedbackRequest", __base__=RequestBody, __doc__=FeedbackRequest.__doc__, **fields)
    return _with_examples(model, [{"id": EXAMPLE_ID, field: answer.example}])


def _field(column: Column) -> Any:
    kind = TYPES[column.kind]
    if column.optional:
        return kind | None, Field(None, description=column.description)
    return kind, Field(description=column.description)


def _with_examples(model: type[BaseModel], examples: list[Any]) -> type[BaseModel]:
    model.model_config = ConfigDict(**{**model.model_config, "json_schema_extra": {"examples": examples}})
    return model
