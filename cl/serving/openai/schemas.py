"""The bodies of OpenAI's requests: what of them is supported, and what is refused by name.

A parameter that is not supported may be sent with the value that changes nothing, as some clients do.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator

from cl.models.decoding import Decoding
from cl.models.grammar import AnswerForm
from cl.serving.schemas import EXPECTED, KEY_CHARACTERS, RequestBody, Text

UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "audio": (None,),
    "best_of": (None, 1),
    "echo": (None, False),
    "frequency_penalty": (None, 0),
    "function_call": (None, "none"),
    "functions": (None, []),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "modalities": (None, ["text"]),
    "n": (None, 1),
    "parallel_tool_calls": (None, False, True),
    "prediction": (None,),
    "presence_penalty": (None, 0),
    "reasoning_effort": (None, "none"),
    "store": (None, False),
    "suffix": (None, ""),
    "tool_choice": (None, "none", "auto"),
    "tools": (None, []),
    "top_logprobs": (None, 0),
    "web_search_options": (None,),
}
"""OpenAI's parameters that are not supported, with the values that change nothing."""
MOST_STOPS, STOP_CHARACTERS = 4, 200
MOST_MESSAGES = 1_000

Stop = Annotated[str, StringConstraints(min_length=1, max_length=STOP_CHARACTERS)]
Stops = Annotated[list[Stop], Field(max_length=MOST_STOPS, fail_fast=True)]


def _text_or_list(value: Any) -> str | None:
    return "text" if isinstance(value, str) else "list" if isinstance(value, list) else None


class TextPart(RequestBody):
    """A part of a message: text, as nothing else is read."""

    type: Literal["text"]
    text: Text


class ChatMessage(RequestBody):
    """What was said, and by whom."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[
        Annotated[Text, Tag("text")] | Annotated[list[TextPart], Field(min_length=1, fail_fast=True), Tag("list")],
        Discriminator(_text_or_list, custom_error_type=EXPECTED, custom_error_message="text, or a list of text parts"),
    ]

    @property
    def text(self) -> str:
        """What was said."""
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class StreamOptions(RequestBody):
    """What a stream has besides the answer."""

    include_usage: bool = Field(False, description="Whether a last chunk has the counts of tokens")
    include_obfuscation: bool = Field(False, description="Not read: chunks are never padded")


class NamedSchema(RequestBody):
    """A JSON schema; ``strict`` is not read, as answers always keep to it."""

    name: Text | None = None
    description: Text | None = None
    schema_: dict[str, Any] = Field(alias="schema", description="The schema")
    strict: bool | None = None


class ResponseFormat(RequestBody):
    """The form of the answer: any text, any JSON object, or JSON that matches a schema."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema belongs to the type json_schema")
        return self


class OpenAIRequest(RequestBody):
    """What both routes take: how the answer is written. Answers are greedy unless a temperature is given."""

    model: Text = Field(description="The project's name")
    stream: bool | None = Field(None, description="Whether the answer comes in pieces, as server-sent events")
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, description="Most tokens of the answer; null: as many as the task has")
    temperature: float | None = Field(None, ge=0, le=2, description="0 and null: the likeliest token, always")
    top_p: float | None = Field(None, gt=0, le=1, description="Draw from the likeliest tokens of this probability")
    seed: int | None = Field(None, ge=-(2**63), lt=2**63, description="Of what is drawn; null: a seed nobody knows")
    stop: (
        Annotated[
            Annotated[Stop, Tag("text")] | Annotated[Stops, Tag("list")],
            Discriminator(_text_or_list, custom_error_type=EXPECTED, custom_error_message="text, or a list of texts"),
        ]
        | None
    ) = Field(None, description="Texts before the first of which the answer ends")
    response_format: ResponseFormat | None = Field(None, description="The form of the answer; null: any text")
    guided_choice: (
        Annotated[list[Annotated[Text, StringConstraints(min_length=1)]], Field(min_length=1, fail_fast=True)] | None
    ) = Field(None, description="The answer is one of these texts; not in OpenAI's own API")
    user: Annotated[Text, StringConstraints(max_length=KEY_CHARACTERS)] | None = Field(
        None, description="For whom the request is made; during a canary, the same user is answered by the same version"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_unsupported(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        for name, harmless in UNSUPPORTED.items():
            if name in content and content[name] not in harmless:
                raise ValueError(f"{name}: not supported by this server; leave it out")
        return {name: value for name, value in content.items() if name not in UNSUPPORTED or name in cls.model_fields}

    @model_validator(mode="after")
    def _check_single_form(self) -> OpenAIRequest:
        if self.guided_choice is not None and self.response_format is not None:
            raise ValueError("send response_format or guided_choice, not both")
        return self

    @property
    def form(self) -> AnswerForm | None:
        """What the answer must be; None: any text."""
        if self.guided_choice is not None:
            return AnswerForm(choices=tuple(self.guided_choice))
        asked = self.response_format
        if asked is None or asked.type == "text":
            return None
        return AnswerForm(schema=asked.json_schema.schema_ if asked.json_schema else {"type": "object"})

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def most_tokens(self) -> int | None:
        """The most tokens of the answer, with the name of the field that says so."""
        return self.max_tokens

    def decoding(self) -> Decoding:
        """Return how the answer is written."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return Decoding(
            max_new_tokens=self.most_tokens,
            temperature=self.temperature or 0.0,
            top_p=1.0 if self.top_p is None else self.top_p,
            seed=self.seed,
            stop=tuple(stop),
        )


class ChatRequest(OpenAIRequest):
    """A conversation to be continued."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"model": "replies", "messages": [{"role": "user", "content": "good day"}]}]}
    )

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MOST_MESSAGES, fail_fast=True)]
    max_completion_tokens: int | None = Field(None, ge=1, description="The newer name of max_tokens")

    @property
    def most_tokens(self) -> int | None:
        """The most tokens of the answer."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionRequest(OpenAIRequest):
    """A prompt to be answered."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "replies", "prompt": "good day"}]})

    prompt: Annotated[
        Annotated[Text, Tag("text")]
        | Annotated[list[Text], Field(min_length=1, max_length=1, fail_fast=True), Tag("list")],
        Discriminator(_text_or_list, custom_error_type=EXPECTED, custom_error_message="text, or a list with one text"),
    ]

    @property
    def text(self) -> str:
        """The prompt."""
        return self.prompt if isinstance(self.prompt, str) else self.prompt[0]


class Usage(BaseModel):
    """Counts of tokens; the one that ends an answer is among those written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
