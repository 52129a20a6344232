"""The compressed forms of a version, and the result of a compression."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record

Form = Literal["student", "int8", "onnx", "onnx-int8"]
FORMS: tuple[Form, ...] = ("student", "int8", "onnx", "onnx-int8")
"""All forms, in the order in which they are tried."""
REWRITTEN: frozenset[str] = frozenset({"int8", "onnx", "onnx-int8"})
"""Forms that only rewrite the teacher's weights: the teacher itself learns the next experience."""
TOLERANCE, TOLERANCE_INT8 = 1e-3, 0.1
"""How far a probability may differ when a version answers again or through a graph: other rows in a batch change only
the last digits of a sum. In int8 these digits sometimes decide how a state is rounded: on CLINC150 that changes a
probability by at most 0.03, on average by 0.0004; int8 and float differ by at most 0.12, on average by 0.004."""


class CompressionResult(Record):
    """The result of compressing a teacher into one form: why it was made, and how it was evaluated."""

    form: Form
    version: str | None = Field(default=None, description="Its registry version; None: it could not be made")
    teacher: str = Field(description="The registry version that it was derived from")
    why: list[str]
    failure: str | None = Field(default=None, description="Why it could not be made")
    passed: bool = Field(default=False, description="Whether it passed all gates")
    refused_by: dict[str, str] = Field(default_factory=dict, description="Failed gate -> reason")
    accuracy: float | None = Field(default=None, description="ACC: mean score over experiences; None: undecided")
    teacher_accuracy: float | None
    latency_ms: float | None = None
    teacher_latency_ms: float | None
    size_mb: float = 0.0
    teacher_size_mb: float
    seconds: float = Field(default=0.0, description="Time it took to make")
