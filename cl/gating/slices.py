"""Groups of test rows that a rule judges: all rows, each experience, each class, or slices."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cl.config.row_filter import columns_in, select_rows
from cl.errors import ConfigError, InputError
from cl.records import NUMERIC_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

    Groups = dict[str, pd.DataFrame]

Whole = Literal["all", "each_experience", "each_class"]


class Slice(BaseModel):
    """Groups of rows by the values of a column, by length, by an expression, or by a user-defined function."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    column: str | None = Field(None, description="Column whose values are the groups")
    length: list[int] | None = Field(None, description="Ascending bounds of length bands in characters: [50, 200]")
    query: str | None = Field(None, description='Expression over the stored columns: "chars > 200"')
    function: str | None = Field(None, description="module:function that receives the stored rows")

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Slice:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs one of column, length, query, function; has {', '.join(given) or 'none'}")
        return self

    @field_validator("length")
    @classmethod
    def _check_length(cls, bounds: list[int] | None) -> list[int] | None:
        if bounds is not None and (not bounds or bounds[0] < 1 or any(a >= b for a, b in pairwise(bounds))):
            raise ValueError(f"bounds must ascend and start at 1 or more, got {bounds}")
        return bounds

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: str | None) -> str | None:
        if query is not None:
            try:
                columns_in(query, numbers=NUMERIC_COLUMNS)
            except InputError as error:
                raise ValueError(str(error)) from None
        return query

    @field_validator("function")
    @classmethod
    def _check_function(cls, function: str | None) -> str | None:
        if function is not None and not all(part.isidentifier() for part in _identifiers(function)):
            raise ValueError(f"must be module:function, got '{function}'")
        return function

    @property
    def columns(self) -> set[str]:
        """The stored columns that it reads, as far as they are known before it runs."""
        if self.query is not None:
            return columns_in(self.query, numbers=NUMERIC_COLUMNS)
        return {"chars"} if self.length is not None else {self.column} if self.column is not None else set()

    def __str__(self) -> str:
        if self.query is not None:
            return self.query
        if self.length is not None:
            return f"length {', '.join(map(str, self.length))}"
        return f"each {self.column}" if self.column is not None else f"{self.function}"

    def groups(self, table: pd.DataFrame) -> Groups:
        """Return name -> rows; rows with a missing value belong to no group.

        Raises:
            ConfigError: the expression or the function fails.
        """
        if self.query is not None:
            return {self.query: _select(table, self.query)}
        if self.length is not None:
            return _length_bands(table, self.length)
        if self.column is not None:
            return _group_by(table, table[self.column])
        return _group_by_function(table, str(self.function))


def _select(table: pd.DataFrame, query: str) -> pd.DataFrame:
    try:
        return table[select_rows(query, table, numbers=NUMERIC_COLUMNS)]
    except InputError as error:
        raise ConfigError(f"gates: rule: {error}") from None


def slice_columns(on: Whole | Slice) -> set[str]:
    """Return the stored columns that define the groups."""
    if isinstance(on, Slice):
        return on.columns
    return {"each_experience": {"experience"}, "each_class": {"target"}, "all": set[str]()}[on]


def slice_groups(on: Whole | Slice, table: pd.DataFrame) -> Groups:
    """Return name -> rows for each group that a rule judges.

    Raises:
        ConfigError: the slice cannot be computed.
    """
    if isinstance(on, Slice):
        return on.groups(table)
    if on == "all":
        return {"all": table}
    return _group_by(table, table["experience" if on == "each_experience" else "target"])


def _group_by(table: pd.DataFrame, names: pd.Series) -> Groups:
    return {str(name): rows for name, rows in table.groupby(names, sort=False, dropna=True, observed=True)}


def _length_bands(table: pd.DataFrame, bounds: list[int]) -> Groups:
    bands = {
        f"{low} to {high - 1} characters": table[(table["chars"] >= low) & (table["chars"] < high)]
        for low, high in pairwise([0, *bounds])
    }
    bands[f"{bounds[-1]} characters and more"] = table[table["chars"] >= bounds[-1]]
    return {name: rows for name, rows in bands.items() if len(rows)}


def _group_by_function(table: pd.DataFrame, function: str) -> Groups:
    """Call a user-defined function, which returns a mask or the group of each row."""
    import pandas as pd

    try:
        groups = _import_function(function)(table.copy())
    except Exception as error:  # user code: any exception is a configuration error
        raise ConfigError(f"gates: rule: function '{function}' failed: {type(error).__name__}: {error}") from None
    if not isinstance(groups, pd.Series) or len(groups) != len(table):
        raise ConfigError(f"gates: rule: function '{function}' must return a pandas Series with one value per row")
    groups = pd.Series(groups.to_numpy(), index=table.index)
    return {function: table[groups]} if groups.dtype == bool else _group_by(table, groups)


def _import_function(function: str) -> Callable[[pd.DataFrame], Any]:
    module, _, name = function.partition(":")
    result: Callable[[pd.DataFrame], Any] = getattr(importlib.import_module(module), name)
    return result


def _identifiers(function: str) -> list[str]:
    module, _, name = function.partition(":")
    return [*module.split("."), name]
