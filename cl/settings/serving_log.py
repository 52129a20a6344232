"""What `cl serve` keeps of what it is asked and told."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from cl.settings.section import Section

REDACTIONS = ("email", "phone", "digits")
"""What can be taken out of texts without code of one's own."""

FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ServingLog(Section):
    """The log of predictions and feedback; it lies in predictions/ as Parquet, a file a day and process, or more."""

    redact: list[str] = Field(
        list(REDACTIONS),
        description="Taken out of texts before they touch the disk: email, phone, digits (seven or more), or "
        "`module:function`, which gets a text and returns it without what must not be kept",
    )
    keep_days: float | None = Field(
        90.0, gt=0, description="Older predictions and feedback are deleted, ingested or not; null: never"
    )
    roll_mb: float = Field(32.0, gt=0, description="What was written ahead becomes Parquet at this size, or next day")
    queue: int = Field(
        20_000,
        ge=1,
        description="Predictions that may wait for the disk; more are answered and counted, not logged",
    )
    feedback_seconds: float = Field(
        5.0, gt=0, description="Longest time that feedback waits for the disk before it is refused with a 503"
    )

    @field_validator("redact")
    @classmethod
    def _redactions_have_a_form(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in REDACTIONS and not FUNCTION.fullmatch(name):
                raise ValueError(f"no redaction '{name}'; there are: {', '.join(REDACTIONS)}, or module:function")
        return names
