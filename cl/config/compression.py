"""When a cheaper version is derived from a challenger, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cl.config.section import Section
from cl.records.compression import FORMS, Form


class CompressionTriggers(Section):
    """What triggers compression: any one condition is enough; with none set, no cheaper version is made."""

    gate: bool = Field(False, description="When all gates that refuse a challenger measure time, size or memory")
    max_latency_ms: float | None = Field(None, gt=0, description="When its median latency for one row exceeds this")
    max_size_mb: float | None = Field(None, gt=0, description="When it is larger than this on disk")
    max_memory_mb: float | None = Field(None, gt=0, description="When it needs more memory than this")
    updates: int | None = Field(None, ge=1, description="After this many updates since the last cheaper version")


class StudentSettings(Section):
    """How a student is built: from some of its teacher's layers and tokens, or from a smaller pretrained model."""

    layers: int | list[Annotated[int, Field(ge=0)]] | None = Field(
        2,
        description="Layers taken from the teacher: their number (evenly spaced), or a list of indices from 0; null: "
        "all",
    )
    vocabulary: int | None = Field(
        8_000,
        ge=1,
        description="Minimum vocabulary: all tokens that occur in the rows, then the first of the tokenizer; null, and "
        "of a language model: all",
    )
    model: str | None = Field(
        None,
        description="Instead of both: a smaller pretrained model, as in model.name, with a new head, or a new adapter "
        "where it writes",
    )


class CompressionSettings(Section):
    """How a challenger that exceeds the cost budget is compressed; the first form that passes the gates is used."""

    when: CompressionTriggers = Field(
        default_factory=lambda: CompressionTriggers(), description="When a cycle compresses its challenger"
    )
    forms: list[Form] = Field(
        ["student", "int8"],
        min_length=1,
        description="Forms to try in turn until one passes all gates and bounds: a distilled student; then, from the "
        "student or its teacher, int8 weights, an ONNX Runtime graph, or that graph with int8 weights",
    )
    then: Literal["student", "teacher"] = Field(
        "student",
        description="Which version learns the next experience: the student, or its teacher, which is then distilled "
        "again",
    )
    student: StudentSettings = Field(default_factory=lambda: StudentSettings(), description="How a student is built")
    rows: list[Literal["labelled", "replayed", "unlabelled"]] = Field(
        ["labelled", "replayed", "unlabelled"],
        min_length=1,
        description="What a student trains on: all past training rows, rows in replay buffers, logged requests",
    )
    max_rows: int = Field(50_000, ge=1, description="Maximum number of rows to train on, drawn at random")
    max_unlabelled: int = Field(5_000, ge=1, description="Maximum number of logged requests among them")
    temperature: float = Field(2.0, gt=0, description="Divides the logits; above 1, small probabilities count more")
    soft: float = Field(
        2.0,
        ge=0,
        description="Weight of the teacher's probabilities of labels, or of tokens where both models have the same; "
        "the labels, or answers, have weight 1",
    )
    hidden: float = Field(2.0, ge=0, description="Weight of the teacher's hidden states, if both have the same width")
    attention: float = Field(
        0.0, ge=0, description="Weight of the last layer's attention, if tokens and heads are the teacher's"
    )
    epochs: int = Field(8, ge=1, description="Instead of training.epochs")
    learning_rate: float = Field(2e-4, gt=0, description="Instead of training.learning_rate")

    @model_validator(mode="after")
    def _forms_are_in_order(self) -> CompressionSettings:
        if self.forms != [form for form in FORMS if form in self.forms]:
            raise ValueError(
                f"forms: {', '.join(self.forms)}: list each of {', '.join(FORMS)} at most once, in this order"
            )
        return self
