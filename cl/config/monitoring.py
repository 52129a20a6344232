"""What starts a cycle when nobody is there, and who is told."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from cl.config.section import Section

Asking = Literal["performance", "drift", "arrival"]
"""What can ask for a cycle, the gravest first."""

Telling = Literal["alarm", "hold", "refusal", "promotion", "approval", "alias", "failure"]


class NotificationSettings(Section):
    """Who is told what happens when nobody is there."""

    about: list[Telling] = Field(
        ["alarm", "hold", "refusal", "promotion", "approval", "alias", "failure"],
        description="What is told; [] for silence",
    )
    webhook: str | None = Field(
        None,
        pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$",
        description="Gets each notice as JSON; `env:NAME` takes the URL from the environment, where secrets stay",
    )
    block: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$",
        description="Prefect notification block that gets each notice as text, e.g. slack-webhook/ops",
    )


class TriggerSettings(Section):
    """What starts a cycle when nobody is there; read by `cl schedule`, `cl run` needs none of it."""

    watch_minutes: float = Field(5.0, gt=0, description="Time between two looks at the source and at what waits")
    settle_seconds: float = Field(
        10.0, ge=0, description="Files must have lain still for so long before they are read by themselves"
    )
    learn_on: list[Asking] = Field(
        ["performance", "drift", "arrival"],
        description="What a look may find that starts the learning flow; the gravest gives the event its name",
    )
    cron: str | None = Field(
        None, description="When the learning flow starts whatever was seen, e.g. '0 6 * * 1'; null: never"
    )
    timezone: str = Field("UTC", description="Of the cron schedule")
    attempts: int = Field(3, ge=1, description="Runs of one cycle that may fail before it is left to a person")
    wait_minutes: float = Field(60.0, ge=0, description="How long a started run waits for a cycle that works already")
    stage_hours: float | None = Field(
        24.0, gt=0, description="A stage that works longer under Prefect is stopped; null: never"
    )
    notify: NotificationSettings = Field(default_factory=lambda: NotificationSettings(), description="Who is told")

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone '{name}'; such as UTC or Europe/Berlin") from None
        return name
