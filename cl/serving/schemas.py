"""Request and response schemas, as /openapi.json shows them.

A list is read up to its first wrong item, and unknown fields are reported together: to describe each of a million
mistakes would hold the worker for many seconds.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

KEY_CHARACTERS = 256
"""Most characters of a request key."""
EXPECTED = "expected"
"""The type of errors whose message says what is expected, as in "text"."""
ANSWER_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
NOT_BLANK = r"\S"
PATTERNS = {ANSWER_ID: "the id of an answer, as /predict returned it", NOT_BLANK: "text that is not blank"}
"""What each pattern means."""
NAME_CHARACTERS = 40
"""Most characters of an unknown field's name that are repeated."""


def _check_encodable(text: str) -> str:
    """Return the text if it can be encoded as UTF-8; JSON may contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character (a lone surrogate)") from None
    return text


Text = Annotated[str, AfterValidator(_check_encodable)]
Token = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=NOT_BLANK)]
Sentence = Annotated[list[Token], Field(min_length=1, fail_fast=True)]
Label = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_check_encodable)]
Tags = Annotated[list[Label], Field(min_length=1, max_length=10_000, fail_fast=True)]


def _label_or_tags(value: Any) -> str | None:
    return "label" if isinstance(value, str) else "tags" if isinstance(value, list) else None


class RequestBody(BaseModel):
    """A JSON object that has no other fields than its own."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_names(cls, content: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        unknown = [name for name in content if name not in known] if isinstance(content, dict) else []
        if unknown:
            name, more = unknown[0][:NAME_CHARACTERS], f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise ValueError(f"there is no field {name!r}{more}; the fields are {', '.join(known)}")
        return content


class PredictRequest(RequestBody):
    """One text, several texts, or lists of tokens."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "where is my parcel?"},
                {"texts": ["where is my parcel?", "my card was stolen"], "top_k": 3, "key": "customer-17"},
                {"tokens": [["Anna", "lives", "in", "York"]]},
            ]
        },
    )

    text: Text | None = Field(None, description="One text")
    texts: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = Field(None, description="Several texts")
    tokens: Annotated[list[Sentence], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="Sentences, each a list of tokens"
    )
    top_k: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Number of most probable labels to return, with their probabilities, best first",
    )
    probabilities: bool = Field(False, description="Whether to return the probabilities of all labels")
    key: Annotated[str, StringConstraints(max_length=KEY_CHARACTERS), AfterValidator(_check_encodable)] | None = Field(
        None,
        description="For whom the request is made; during a canary, requests with the same key go to the same version",
    )

    @model_validator(mode="after")
    def _check_single_input(self) -> PredictRequest:
        if sum(value is not None for value in (self.text, self.texts, self.tokens)) != 1:
            raise ValueError("send exactly one of text, texts and tokens")
        _check_encodable("".join(self.texts or ()))  # joined: 100,000 validator calls would delay other requests
        return self

    @property
    def values(self) -> list[Any]:
        """The texts or the lists of tokens."""
        return [self.text] if self.text is not None else list(self.texts or self.tokens or [])


class ScoreBody(BaseModel):
    """A label and its probability."""

    label: str
    probability: float


class PredictionBody(BaseModel):
    """The answer to one text; in token tasks, ``top`` and ``probabilities`` have one entry per token."""

    id: str = Field(description="Id for /feedback")
    label: str | list[str] = Field(description="The label, or one tag per token")
    confidence: float
    out_of_scope: bool | None = Field(
        description="Whether the text differs from what the version knows; null if the version has no threshold"
    )
    top: list[ScoreBody] | list[list[ScoreBody]] | None = None
    probabilities: dict[str, float] | list[dict[str, float]] | None = None


class PredictResponse(BaseModel):
    """Answers in the order of the texts, and the version that gave them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "support",
                    "version": "7",
                    "role": "champion",
                    "predictions": [
                        {
                            "id": "0d0a3d1c-6e0c-4b53-a0b7-4f1f0f0f6f3a",
                            "label": "parcel_status",
                            "confidence": 0.97,
                            "out_of_scope": False,
                        }
                    ],
                }
            ]
        }
    )

    model: str
    version: str
    role: str = Field(description="champion or canary")
    predictions: list[PredictionBody]


class SpanBody(BaseModel):
    """A part of a text that the tagger has found."""

    start: int = Field(description="Its first character")
    end: int = Field(description="The character after its last")
    text: str
    type: str = Field(description="The type of entity")


class RelationBody(BaseModel):
    """A relation between two parts of a text."""

    id: str = Field(description="Id for /feedback, whose label is the relation")
    head: SpanBody
    tail: SpanBody
    relation: str
    confidence: float
    out_of_scope: bool | None


class TextRelations(BaseModel):
    """The relations in one text, in its order."""

    relations: list[RelationBody]


class RelationsResponse(BaseModel):
    """The relations in bare texts, and the two versions that answered."""

    model: str
    version: str = Field(description="The version that answered the pairs")
    role: str = Field(description="champion or canary")
    tagger: str = Field(description="The version that found the spans, NAME@VERSION")
    predictions: list[TextRelations]


class FeedbackRequest(RequestBody):
    """The true label of an answer; it may be sent at any time."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "0d0a3d1c-6e0c-4b53-a0b7-4f1f0f0f6f3a", "label": "parcel_lost"}]},
    )

    id: str = Field(pattern=ANSWER_ID, description="Id of the answer")
    label: Annotated[
        Annotated[Label, Tag("label")] | Annotated[Tags, Tag("tags")],
        Discriminator(
            _label_or_tags, custom_error_type=EXPECTED, custom_error_message="text, or a list with a tag per token"
        ),
    ] = Field(description="The true label, or one tag per token")
    new_label: bool = Field(False, description="The label is meant, though the model does not know it yet")


class FeedbackResponse(BaseModel):
    """Confirms that the label is on the disk and will be used for training."""

    id: str


class FailureResponse(BaseModel):
    """An error in MLflow's format."""

    error_code: str
    message: str


class ReadyResponse(BaseModel):
    """Readiness, and which version has each role."""

    ready: bool
    champion: str | None
    canary: str | None
    shadow: str | None
    why: str | None = Field(description="Why the server is not ready; null if it is ready")
    warning: str | None = Field(description="That MLflow's alias was moved by hand, with the remedy; null: it was not")
