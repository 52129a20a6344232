"""Unattended operation: what starts a cycle, and who is notified."""

from __future__ import annotations

from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from cl.config.cron import check_cron
from cl.config.section import Section

Asking = Literal["performance", "drift", "arrival"]
"""What can trigger a cycle, most severe first."""

Telling = Literal["alarm", "hold", "refusal", "promotion", "approval", "alias", "failure"]


class NotificationSettings(Section):
    """Which events are reported, and where."""

    about: list[Telling] = Field(
        ["alarm", "hold", "refusal", "promotion", "approval", "alias", "failure"],
        description="Events to report; []: none",
    )
    webhook: str | None = Field(
        None,
        pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$",
        description="`env:NAME`: the environment variable with the webhook URL; each notice is posted to it as JSON",
    )
    block: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$",
        description="Prefect notification block that receives each notice as text, e.g. slack-webhook/ops",
    )


class TriggerSettings(Section):
    """What starts a cycle automatically; used by `cl schedule`, not by `cl run`."""

    watch_minutes: float = Field(
        5.0, gt=0, description="Minutes between two checks of the source and of waiting experiences"
    )
    settle_seconds: float = Field(
        10.0, ge=0, description="Seconds that files must be unchanged before they are ingested automatically"
    )
    learn_on: list[Asking] = Field(
        ["performance", "drift", "arrival"],
        description="Findings that start the learning flow; the most severe one names the event",
    )
    cron: str | None = Field(
        None,
        description="Schedule in five fields on which the learning flow starts in any case, e.g. '0 6 * * 1'; "
        "null: never",
    )
    timezone: str = Field("UTC", description="Time zone of the cron schedule")
    attempts: int = Field(3, ge=1, description="Failed runs of one cycle before it needs manual attention")
    wait_minutes: float = Field(60.0, ge=0, description="Minutes that a run waits for another running cycle")
    stage_hours: float | None = Field(24.0, gt=0, description="Time limit of a stage under Prefect; null: none")
    notify: NotificationSettings = Field(default_factory=lambda: NotificationSettings(), description="Who is notified")

    @field_validator("cron")
    @classmethod
    def _cron_fires(cls, schedule: str | None) -> str | None:
        if schedule is not None:
            check_cron(schedule)
        return schedule

    @field_validator("timezone")
    @classmethod
    def _timezone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone '{name}'; use a name such as UTC or Europe/Berlin") from None
        return name
