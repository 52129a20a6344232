"""What a version may be derived as."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record

Form = Literal["student", "int8", "onnx", "onnx-int8"]
FORMS: tuple[Form, ...] = ("student", "int8", "onnx", "onnx-int8")
"""All of them, in the order in which they are tried."""
REWRITTEN: frozenset[str] = frozenset({"int8", "onnx", "onnx-int8"})
"""Forms that know what their teacher knows, its weights written down otherwise: what learns on is the teacher."""
TOLERANCE, TOLERANCE_INT8 = 1e-3, 0.1
"""How far a probability may differ when a version is asked again, or through a graph: other rows in a batch change
the last digits of a sum, and no more. In int8 these digits decide here and there how a state is rounded: on CLINC150
by 0.03 at most, in the mean over rows by 0.0004, where int8 and floats are 0.12 and 0.004 apart."""


class CompressionResult(Record):
    """A version that was derived from its teacher and judged: what it was made for, and what came of it."""

    form: Form
    version: str | None = Field(default=None, description="In the registry; None: it could not be made")
    teacher: str = Field(description="The version that it was derived from")
    why: list[str]
    failure: str | None = Field(default=None, description="Why it could not be made")
    passed: bool = Field(default=False, description="All gates")
    refused_by: dict[str, str] = Field(default_factory=dict, description="Gate that said no -> why")
    accuracy: float = Field(default=0.0, description="ACC: mean score over experiences")
    teacher_accuracy: float
    latency_ms: float = 0.0
    teacher_latency_ms: float
    size_mb: float = 0.0
    teacher_size_mb: float
    seconds: float = Field(default=0.0, description="Of its making")
