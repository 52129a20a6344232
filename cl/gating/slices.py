"""Which rows a rule looks at: all, each experience, each class, or a slice of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from cl.errors import ConfigError
from cl.gating.query import chosen, names_in

if TYPE_CHECKING:
    import pandas as pd

    Groups = dict[str, pd.DataFrame]

Whole = Literal["all", "each_experience", "each_class"]


class Slice(BaseModel):
    """Groups of rows by a column's values, by length, by an expression, or by a function of the project's owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = Field(None, description="Each value of a column is a group")
    length: list[int] | None = Field(None, description="Bounds of bands of characters, ascending: [50, 200]")
    query: str | None = Field(None, description='Expression over the stored columns: "chars > 200"')
    function: str | None = Field(None, description="module:function that is given the stored rows")

    @model_validator(mode="after")
    def _one_of_them(self) -> Slice:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"needs one of column, length, query, function; has {', '.join(given) or 'none'}")
        return self

    @field_validator("length")
    @classmethod
    def _ascends(cls, bounds: list[int] | None) -> list[int] | None:
        if bounds is not None and (not bounds or bounds[0] < 1 or any(a >= b for a, b in pairwise(bounds))):
            raise ValueError(f"bounds of length must ascend from 1, got {bounds}")
        return bounds

    @field_validator("query")
    @classmethod
    def _parses(cls, query: str | None) -> str | None:
        if query is not None:
            names_in(query)
        return query

    @field_validator("function")
    @classmethod
    def _has_a_module(cls, function: str | None) -> str | None:
        if function is not None and not all(part.isidentifier() for part in _parts(function)):
            raise ValueError(f"must be module:function, got '{function}'")
        return function

    @property
    def columns(self) -> set[str]:
        """The stored columns that it reads, as far as they can be known before it runs."""
        if self.query is not None:
            return names_in(self.query)
        return {"chars"} if self.length is not None else {self.column} if self.column is not None else set()

    def __str__(self) -> str:
        if self.query is not None:
            return self.query
        if self.length is not None:
            return f"length {', '.join(map(str, self.length))}"
        return f"each {self.column}" if self.column is not None else f"{self.function}"

    def groups(self, table: pd.DataFrame) -> Groups:
        """Return name -> rows; a value that is missing belongs nowhere.

        Raises:
            ConfigError: the expression or the function cannot be computed.
        """
        if self.query is not None:
            return {self.query: chosen(table, self.query)}
        if self.length is not None:
            return _bands(table, self.length)
        if self.column is not None:
            return _each(table, table[self.column])
        return _by_function(table, str(self.function))


def slice_columns(on: Whole | Slice) -> set[str]:
    """Return the stored columns by which rows are cut."""
    if isinstance(on, Slice):
        return on.columns
    return {"each_experience": {"experience"}, "each_class": {"target"}, "all": set[str]()}[on]


def slice_groups(on: Whole | Slice, table: pd.DataFrame) -> Groups:
    """Return name -> rows of what a rule looks at.

    Raises:
        ConfigError: a slice cannot be computed.
    """
    if isinstance(on, Slice):
        return on.groups(table)
    if on == "all":
        return {"all": table}
    return _each(table, table["experience" if on == "each_experience" else "target"])


def _each(table: pd.DataFrame, names: pd.Series) -> Groups:
    return {str(name): rows for name, rows in table.groupby(names, sort=False, dropna=True, observed=True)}


def _bands(table: pd.DataFrame, bounds: list[int]) -> Groups:
    found = {
        f"{low} to {high - 1} characters": table[(table["chars"] >= low) & (table["chars"] < high)]
        for low, high in pairwise([0, *bounds])
    }
    found[f"{bounds[-1]} characters and more"] = table[table["chars"] >= bounds[-1]]
    return {name: rows for name, rows in found.items() if len(rows)}


def _by_function(table: pd.DataFrame, function: str) -> Groups:
    """Call a function of the project's owner: it returns a mask, or each row's group."""
    import pandas as pd

    try:
        found = _imported(function)(table.copy())
    except Exception as error:  # it is not our code: whatever it raises is the owner's to mend
        raise ConfigError(f"gates: rule: function '{function}' fails: {type(error).__name__}: {error}") from None
    if not isinstance(found, pd.Series) or len(found) != len(table):
        raise ConfigError(f"gates: rule: function '{function}' must return a pandas Series with one value a row")
    found = pd.Series(found.to_numpy(), index=table.index)
    return {function: table[found]} if found.dtype == bool else _each(table, found)


def _imported(function: str) -> Callable[[pd.DataFrame], Any]:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)


def _parts(function: str) -> list[str]:
    module, _, name = function.partition(":")
    return [*module.split("."), name]
