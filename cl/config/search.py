"""What `cl tune` searches, and how long."""

from __future__ import annotations

from pydantic import Field, model_validator

from cl.config.section import Section


class Range(Section):
    """A range of numbers; integers if both ends are."""

    low: int | float = Field(description="Smallest value")
    high: int | float = Field(description="Largest value")
    log: bool = Field(False, description="Whether to sample on a logarithmic scale")

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
        "{}: epochs and learning rates, or for a closed form the layers that it reads",
    )
    trials: int = Field(20, ge=1, description="Number of settings to try, pruned ones included")
    max_seconds: float | None = Field(None, gt=0, description="Time limit of all trials together; null: none")
    experiences: int = Field(3, ge=1, description="Number of experiences that a trial learns in turn, from the first")
