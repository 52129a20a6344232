"""Where rows come from, and when a batch as a whole is fit to learn from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from cl.config.section import PluginSpec, Section

CANONICAL = ("id", "text", "label", "tokens", "tags", "date", "experience", "row")
"""Columns that rows have whatever a source calls them."""

Period = Literal["day", "week", "month", "quarter", "year"]


class SplitShares(Section):
    """Shares of an experience that are held out; the rest is for training."""

    validation: float = Field(0.15, ge=0.0, lt=0.5, description="Share of rows for validation")
    test: float = Field(0.2, gt=0.0, lt=0.7, description="Share of rows for the test")


class DataSettings(Section):
    """Where rows come from and what their columns are called."""

    source: PluginSpec | None = Field(
        None,
        description="Read by `cl run` before it looks for new experiences, e.g. {name: files, path: inbox}",
    )
    id: str | None = Field("id", description="Column with a row's unique id; null makes one from its content")
    text: str = Field("text", description="Column with the text (text classification)")
    label: str = Field("label", description="Column with the label (text classification)")
    tokens: str = Field("tokens", description="Column with the list of tokens (token classification)")
    tags: str = Field("tags", description="Column with the list of BIO2 tags (token classification)")
    date: str | None = Field(None, description="Column with the row's date, kept beside it; null: none")
    join: list[str] = Field([], description="Further text columns that are put before the text, e.g. [title]")
    keep: list[str] = Field(
        [], description="Further columns kept beside each row, as text, so that gates can cut the test rows by them"
    )
    group_by: str | None = Field(
        None,
        description="Column that cuts one input into experiences in order of appearance; null: one a file",
    )
    period: Period | None = Field(
        None, description="Length of time that cuts one input into experiences by its dates; null: not by date"
    )
    only: str | None = Field(None, description="When a folder is read: a glob that file names must match")
    split: SplitShares = Field(
        default_factory=lambda: SplitShares(), description="Held-out shares, by a hash of the id"
    )
    split_column: str | None = Field(
        None, description="Column that already says train, validation (or dev) or test; null: split by hash"
    )
    max_chars: int = Field(5_000, ge=1, description="Longer texts go to quarantine")
    min_chars: int = Field(2, ge=1, description="Shorter texts go to quarantine")
    numeric_labels: Literal["refuse", "accept"] = Field(
        "refuse",
        description="A label column that holds only numbers is usually a mistake; accept takes them as names",
    )
    chunk_rows: int = Field(50_000, ge=1, description="Rows held in memory at once during ingest")

    @field_validator("keep")
    @classmethod
    def _have_names_of_their_own(cls, names: list[str]) -> list[str]:
        if taken := [one for one in names if one in CANONICAL or names.count(one) > 1]:
            raise ValueError(f"'{taken[0]}' is taken; it may not be one of {', '.join(CANONICAL)}, nor given twice")
        return names

    @model_validator(mode="after")
    def _one_way_to_cut(self) -> DataSettings:
        if self.period and not self.date:
            raise ValueError(f"period: '{self.period}' needs the rows' dates; set data.date to their column")
        if self.period and self.group_by:
            raise ValueError(f"period: '{self.period}' and group_by: '{self.group_by}' both cut; leave one of them out")
        return self


class ValidationSettings(Section):
    """When a batch as a whole is not fit to learn from."""

    max_quarantined: float = Field(0.3, ge=0.0, le=1.0, description="Hold the batch above this share of broken rows")
