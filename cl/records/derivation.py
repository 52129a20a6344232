"""A cheaper version that was made of another one."""

from __future__ import annotations

from pydantic import Field

from cl.records.form import Form
from cl.records.record import Record


class Derivation(Record):
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
