"""Where rows come from, and when a batch is fit to learn from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from cl.config.description_checks import check_texts, read_descriptions
from cl.config.section import PluginSpec, Section, check_plugin
from cl.errors import InputError
from cl.records import ANNOTATED, WEIGHT

CANONICAL = ("id", "text", "label", "tokens", "tags", ANNOTATED, WEIGHT, "date", "experience", "row")
"""Columns of stored rows, whatever the source calls them."""

OWN_FIELDS = ("text", "label", "tokens", "tags")
"""Columns of a task's schema whose names in the source have fields of their own."""

ID = "id"
"""Default name of the column with a row's id."""

Period = Literal["day", "week", "month", "quarter", "year"]


class SplitShares(Section):
    """Held-out shares of an experience; the rest is for training."""

    validation: float = Field(0.15, ge=0.0, lt=0.5, description="Share of rows for validation")
    test: float = Field(0.2, gt=0.0, lt=0.7, description="Share of rows for testing")


class DataSettings(Section):
    """Where rows come from and what their columns are called."""

    source: PluginSpec | None = Field(
        None,
        description="Source that `cl run` reads first, e.g. {name: files, path: inbox}; null: none",
    )
    id: str | None = Field(
        ID, description="Column with a row's unique id; null, or no column of the default name: made from the content"
    )
    text: str = Field("text", description="Column with the text (text classification)")
    label: str = Field("label", description="Column with the label (text classification)")
    tokens: str = Field("tokens", description="Column with the list of tokens (token classification)")
    tags: str = Field("tags", description="Column with the list of BIO2 tags (token classification)")
    columns: dict[str, str] = Field(
        {},
        description="What the other columns of the task are called, e.g. {question: query}; {}: as the task names them",
    )
    annotated: list[str] | None = Field(
        None,
        min_length=1,
        description="Entity types that the rows to ingest are annotated for, e.g. [PRODUCT] (token classification): "
        "what an O in them is otherwise, they do not say; null: every type",
    )
    date: str | None = Field(None, description="Column with the row's date, stored with it; null: none")
    date_format: str | None = Field(
        None, description="Form of the dates, as Python's strptime has it, e.g. '%d.%m.%Y'; null: ISO 8601, year first"
    )
    descriptions: dict[str, str | list[str]] = Field(
        {},
        description="What labels mean, in a sentence or several each, e.g. {card_lost: the card was lost or stolen}: "
        "learned like rows, so that a project answers before its first label; {}: none",
    )
    weight: str | None = Field(
        None,
        description="Column with what a row counts in training, a number of 0 or more, stored as "
        "'sample_weight'; 0: it is not learned, empty: 1. Evaluation and gates count every row once; null: no weights",
    )
    where: str | None = Field(
        None,
        description="Condition on the columns of the input that rows must meet to be ingested, "
        "e.g. \"lang == 'en' and stars >= 4\"; null: all rows",
    )
    join: list[str] = Field([], description="Further text columns to put before the text, e.g. [title]")
    keep: list[str] = Field(
        [], description="Further columns to store with each row, as text, so that gates can slice the test rows by them"
    )
    group_by: str | None = Field(
        None,
        description="Column that splits one input into experiences, in order of appearance; null: one per file",
    )
    period: Period | None = Field(
        None, description="Period that splits one input into experiences by date; null: do not split by date"
    )
    only: str | None = Field(None, description="Glob that file names in a folder must match; null: all files")
    split: SplitShares = Field(
        default_factory=lambda: SplitShares(), description="Held-out shares, assigned by a hash of the text"
    )
    split_column: str | None = Field(
        None, description="Column that holds train, validation (or dev) or test; null: split by hash"
    )
    max_chars: int = Field(5_000, ge=1, description="Longer texts are quarantined")
    min_chars: int = Field(2, ge=1, description="Shorter texts are quarantined")
    numeric_labels: Literal["refuse", "accept"] = Field(
        "refuse",
        description="A label column of numbers is usually a mistake; accept: use the numbers as label names",
    )
    corrections: Literal["set_aside", "take"] = Field(
        "set_aside",
        description="Rows with a known id, or a known text, and another text or label: quarantine them, or take them "
        "in place of the earlier rows, as `cl ingest --corrections` does",
    )
    chunk_rows: int = Field(50_000, ge=1, description="Rows in memory at once during ingestion")

    def name_of(self, column: str) -> str:
        """Return what a column of the task's schema is called in the source."""
        name: str = getattr(self, column) if column in OWN_FIELDS else self.columns.get(column, column)
        return name

    @property
    def described(self) -> list[tuple[str, str]]:
        """The descriptions of labels: (label, text), in order."""
        return [
            (label, text)
            for label, texts in self.descriptions.items()
            for text in ([texts] if isinstance(texts, str) else texts)
        ]

    @staticmethod
    def setting_of(column: str) -> str:
        """Return the key of the setting that says what a column of the task's schema is called."""
        return f"data.{column}" if column in OWN_FIELDS else f"data.columns.{column}"

    @field_validator("source")
    @classmethod
    def _source_exists(cls, spec: PluginSpec | None) -> PluginSpec | None:
        return spec if spec is None else check_plugin("sources", spec)

    @field_validator("descriptions", mode="before")
    @classmethod
    def _descriptions_are_texts(cls, raw: Any) -> Any:
        return read_descriptions(raw)

    @model_validator(mode="after")
    def _descriptions_can_be_rows(self) -> DataSettings:
        check_texts(self.described, fewest=self.min_chars, most=self.max_chars)
        return self

    @field_validator("where")
    @classmethod
    def _condition_can_be_read(cls, condition: str | None) -> str | None:
        from cl.config.row_filter import columns_in, numbers_in

        if condition is not None:
            try:
                columns_in(condition, numbers=numbers_in(condition))
            except InputError as error:
                raise ValueError(str(error)) from None
        return condition

    @field_validator("date_format")
    @classmethod
    def _format_has_a_year(cls, date_format: str | None) -> str | None:
        if date_format is not None:
            days = [datetime(year, 11, 23) for year in (2001, 2024)]
            try:
                read = [datetime.strptime(day.strftime(date_format), date_format).year for day in days]
            except ValueError:
                raise ValueError(f"'{date_format}' is no form of dates; write it as '%d.%m.%Y'") from None
            if read != [2001, 2024]:
                raise ValueError(f"'{date_format}' has no year; write it as '%d.%m.%Y'")
        return date_format

    @field_validator("keep")
    @classmethod
    def _names_are_unique(cls, names: list[str]) -> list[str]:
        if taken := [name for name in names if name in CANONICAL or names.count(name) > 1]:
            raise ValueError(f"'{taken[0]}' is taken; names must be unique and none of {', '.join(CANONICAL)}")
        return names

    @model_validator(mode="after")
    def _one_way_to_split(self) -> DataSettings:
        if self.period and not self.date:
            raise ValueError(f"period: '{self.period}' needs dates; set data.date to their column")
        if self.period and self.group_by:
            raise ValueError(
                f"period: '{self.period}' and group_by: '{self.group_by}' both split the input; set only one"
            )
        return self


class ValidationSettings(Section):
    """When a batch is not fit to learn from."""

    max_quarantined: float = Field(
        0.3, ge=0.0, le=1.0, description="Hold a batch with a higher share of quarantined rows"
    )
