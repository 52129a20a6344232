"""The bodies of requests and responses for a task, made from its schema.

A task with one text, or one list of words, has those that `cl.serving.schemas` writes out; any other gets models whose
fields are its columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

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
    RelationsResponse,
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

    forms: ClassVar[tuple[str, ...]] = ("input", "inputs")
    """The fields of which a request has exactly one."""

    @model_validator(mode="after")
    def _check_single_input(self) -> RowsRequest:
        if sum(getattr(self, name) is not None for name in self.forms) != 1:
            raise ValueError(f"send exactly one of {', '.join(self.forms[:-1])} and {self.forms[-1]}")
        return self


class TextsOrRowsRequest(RowsRequest):
    """One row of inputs, several, or bare texts, in which the spans are found."""

    forms: ClassVar[tuple[str, ...]] = ("input", "inputs", "text", "texts")

    text: Text | None = Field(None, description="One bare text: its relations are returned")
    texts: Annotated[list[Text], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="Several bare texts"
    )

    @property
    def bare_texts(self) -> list[str]:
        """The bare texts; []: the request has rows."""
        return [self.text] if self.text is not None else list(self.texts or [])


@dataclass(frozen=True)
class Bodies:
    """What a task's routes take and return.

    ``rows``: inputs come as objects with the task's columns, not as texts or tokens. ``texts``: they may also come as
    bare texts, in which the spans are found.
    """

    predict: type[BaseModel]
    answers: Any
    feedback: type[BaseModel]
    rows: bool
    texts: bool = False

    def values(self, body: Any, schema: Schema) -> list[Any]:
        """Return the inputs in a request: bare values of a single input, else a mapping for each row."""
        if not self.rows:
            values: list[Any] = body.values
            return values
        listed = [body.input] if body.input is not None else body.inputs
        rows = [{name: getattr(row, name) for name in schema.input_names} for row in listed]
        return rows if schema.input is None else [row[schema.input.name] for row in rows]


def bodies_of(task: Task, *, finds_spans: bool = False) -> Bodies:
    """Return the bodies for a task; ``finds_spans``: a tagger finds the spans of bare texts."""
    schema = task.schema
    rows = schema.input is None or not schema.input.kind.is_read
    written = schema.answer.kind in (ValueKind.LABEL, ValueKind.TAGS)
    answers: Any = PredictResponse if written else _predict_response(task)
    base = TextsOrRowsRequest if finds_spans else RowsRequest
    return Bodies(
        predict=_predict_request(schema, base) if rows else PredictRequest,
        answers=answers | RelationsResponse if finds_spans else answers,
        feedback=FeedbackRequest if written else _feedback_request(task),
        rows=rows,
        texts=finds_spans,
    )


def input_example(schema: Schema) -> dict[str, Any]:
    """Return a row of inputs, by their names."""
    return {column.name: column.example for column in schema.inputs}


def _predict_request(schema: Schema, base: type[RowsRequest]) -> type[BaseModel]:
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
    model = create_model("PredictRequest", __base__=base, __doc__=base.__doc__, **wanted, **shared)
    bare = [{"text": example[schema.text]}] if "text" in base.forms and schema.text else []
    return _with_examples(model, [{"input": example}, {"inputs": [example]}, *bare])


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


class OpinionRequest(RequestBody):
    """What is right in place of a written answer, or a thumb for it; it may be sent at any time."""

    @model_validator(mode="after")
    def _check_single_opinion(self) -> OpinionRequest:
        names = [name for name in type(self).model_fields if name != "id"]
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError(f"send exactly one of {' and '.join(names)}")
        return self


def _feedback_request(task: Task) -> type[BaseModel]:
    answer, field = task.schema.answer, task.schema.answer_field
    id_field = (str, Field(pattern=ANSWER_ID, description="Id of the answer"))
    kind, right = TYPES[answer.kind], f"What is right: {answer.description}"
    if Capability.WRITING in task.provides:
        thumb = Field(None, description="up: the answer is right, and is learned; down: it is counted, and no more")
        opinions: dict[str, Any] = {
            "id": id_field,
            field: (kind | None, Field(None, description=right)),
            "thumb": (Literal["up", "down"] | None, thumb),
        }
        examples = [{"id": EXAMPLE_ID, field: answer.example}, {"id": EXAMPLE_ID, "thumb": "up"}]
        opinion = create_model("FeedbackRequest", __base__=OpinionRequest, __doc__=OpinionRequest.__doc__, **opinions)
        return _with_examples(opinion, examples)
    fields: dict[str, Any] = {"id": id_field, field: (kind, Field(description=right))}
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
