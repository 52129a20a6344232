"""When a cheaper version is derived from a challenger, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cl.config.section import Section
from cl.records.compression import FORMS, Form


class CompressionTriggers(Section):
    """What asks for a cheaper version; any of them is enough, and without any there is none."""

    gate: bool = Field(False, description="Gates refuse a challenger, and all that do are about time, size or memory")
    max_latency_ms: float | None = Field(None, gt=0, description="It answers one row slower than this, in the median")
    max_size_mb: float | None = Field(None, gt=0, description="It is larger than this on disk")
    max_memory_mb: float | None = Field(None, gt=0, description="It needs more memory than this")
    updates: int | None = Field(None, ge=1, description="So many updates since the last cheaper version, this one too")


class StudentSettings(Section):
    """What a student is made of: some of its teacher's layers and tokens, or a smaller pretrained model."""

    layers: int | list[Annotated[int, Field(ge=0)]] | None = Field(
        2,
        description="Layers taken from the teacher: how many, the middle one of each equal part; or which, from 0; "
        "null: all",
    )
    vocabulary: int | None = Field(
        8_000,
        ge=1,
        description="Tokens kept at least: all that the rows use, then those that come first in the tokenizer; null: "
        "all",
    )
    model: str | None = Field(
        None, description="In place of both: a smaller pretrained model, as model.name; its head is learnt anew"
    )


class CompressionSettings(Section):
    """A challenger that is too dear gives way to versions derived from it, the first of which that passes serves."""

    when: CompressionTriggers = Field(
        default_factory=lambda: CompressionTriggers(), description="What asks for it in a cycle"
    )
    forms: list[Form] = Field(
        ["student", "int8"],
        min_length=1,
        description="What is derived, one after the other, until one passes all gates and bounds: a distilled student; "
        "of it, or of its teacher, int8 weights, a graph for ONNX Runtime, or that with int8 weights",
    )
    then: Literal["student", "teacher"] = Field(
        "student",
        description="What learns the next experience: the student, or its teacher, from which a student is derived "
        "again",
    )
    student: StudentSettings = Field(default_factory=lambda: StudentSettings(), description="What a student is made of")
    rows: list[Literal["labelled", "replayed", "unlabelled"]] = Field(
        ["labelled", "replayed", "unlabelled"],
        min_length=1,
        description="What it learns on: training rows of all that was learnt, rows in buffers, logged questions",
    )
    max_rows: int = Field(50_000, ge=1, description="Rows that it learns on, drawn at random, at most")
    max_unlabelled: int = Field(5_000, ge=1, description="Logged questions among them, at most")
    temperature: float = Field(2.0, gt=0, description="Logits are divided by it: above 1, small probabilities count")
    soft: float = Field(2.0, ge=0, description="Weight of the teacher's probabilities; that of the labels is 1")
    hidden: float = Field(2.0, ge=0, description="Weight of the teacher's states, where both are of one width")
    attention: float = Field(
        0.0, ge=0, description="Weight of the last layer's attention, where tokens and heads are the teacher's"
    )
    epochs: int = Field(8, ge=1, description="In place of training.epochs")
    learning_rate: float = Field(2e-4, gt=0, description="In place of training.learning_rate")

    @model_validator(mode="after")
    def _forms_come_once(self) -> CompressionSettings:
        if self.forms != [one for one in FORMS if one in self.forms]:
            raise ValueError(f"forms: {', '.join(self.forms)}: name {', '.join(FORMS)} once each, in this order")
        return self
