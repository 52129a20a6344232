"""What `cl tune` searches, and how long."""

from __future__ import annotations

from pydantic import Field, model_validator

from cl.config.section import Section


class Range(Section):
    """Numbers from one to another; whole ones where both ends are."""

    low: int | float = Field(description="The least")
    high: int | float = Field(description="The most")
    log: bool = Field(False, description="Whether it is the size that counts, not the difference")

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.low >= self.high:
            raise ValueError(f"low must be less than high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: true needs a low above 0, got {self.low}")
        return self


Axis = Range | list[int | float | str | bool | None]


class TuneSettings(Section):
    """What `cl tune` searches, and how long."""

    space: dict[str, Axis] = Field(
        {},
        description="`training.FIELD`, `tuning.FIELD`, `strategy.NAME.FIELD` -> {low, high, log} or a list of values; "
        "{}: epochs and learning rates, or the layers that a closed form reads",
    )
    trials: int = Field(20, ge=1, description="Settings that are tried, pruned ones included")
    max_seconds: float | None = Field(None, gt=0, description="Of all trials together; null: no bound")
    experiences: int = Field(3, ge=1, description="Experiences that a trial learns one after the other, from the first")
