"""A cheaper version that was made of another one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from cl.records.record import Record


class Derivation(Record):
    """A version that was derived from its teacher and judged: what it was made for, and what came of it."""

    form: Literal["student", "int8"]
    version: str
    teacher: str = Field(description="The version that it was derived from")
    why: list[str]
    passed: bool = Field(description="All gates")
    refused_by: dict[str, str] = Field(default_factory=dict, description="Gate that said no -> why")
    accuracy: float = Field(description="ACC: mean score over experiences")
    teacher_accuracy: float
    latency_ms: float
    teacher_latency_ms: float
    size_mb: float
    teacher_size_mb: float
    seconds: float = Field(description="Of its making")
