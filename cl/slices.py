"""Groups of test rows: experiences, classes, values of a column, bands of length, a query, a function of the owner's.

All are read from stored rows, so that what is said of a group today can be said again of the same rows.
"""

from __future__ import annotations

import ast
import importlib
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from cl.errors import ConfigError
from cl.settings import Section

if TYPE_CHECKING:
    import pandas as pd

ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.Invert, ast.USub, ast.BinOp, ast.BitAnd,
    ast.BitOr, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Name, ast.Load,
    ast.Constant, ast.List, ast.Tuple,
)  # fmt: skip
"""What a query may be made of: comparisons of columns with values. Nothing in it is called."""


class Slice(Section):
    """Some of the test rows, or a cut of them into groups; exactly one of the fields is set."""

    column: str | None = Field(None, description="Stored column: a group for each of its values")
    length: list[int] | None = Field(None, description="Characters at which texts are cut into bands, e.g. [50, 200]")
    query: str | None = Field(None, description="A pandas query, comparisons only: its rows are the group")
    function: str | None = Field(
        None,
        description="module:function, code of the owner's own; gets the stored rows, returns a group's name for each",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Slice:
        if sum(value is not None for _, value in self) != 1:
            raise ValueError("takes one of column, length, query, function")
        return self

    @field_validator("length")
    @classmethod
    def _rises(cls, bounds: list[int] | None) -> list[int] | None:
        if bounds is not None and (not bounds or bounds[0] < 1 or any(a >= b for a, b in pairwise(bounds))):
            raise ValueError(f"must be lengths that rise, such as [50, 200], got {bounds}")
        return bounds

    @field_validator("query")
    @classmethod
    def _only_compares(cls, query: str | None) -> str | None:
        if query is not None:
            _check_query(query)
        return query

    @field_validator("function")
    @classmethod
    def _names_a_function(cls, name: str | None) -> str | None:
        parts = name.replace(":", ".").split(".") if name is not None else []
        if name is not None and (name.count(":") != 1 or not all(part.isidentifier() for part in parts)):
            raise ValueError(f"must be module:function, got '{name}'")
        return name


Rows = Literal["all", "each", "class"]
On = Annotated[
    Annotated[Rows, Tag("[name]")] | Annotated[Slice, Tag("[slice]")],
    Discriminator(lambda value: "[name]" if isinstance(value, str) else "[slice]"),
]
"""Which rows a rule looks at: one of the names, or a slice of its own."""


def groups_of(on: Rows | Slice, rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the groups of stored rows by name, in order of appearance; all of them together are named ''.

    Raises:
        ConfigError: a column is not stored, or the function cannot be used.
    """
    if on == "all":
        return {"": rows}
    if on == "each":
        return _by(rows, rows["experience"])
    if on == "class":
        return _by(rows, _column(rows, "target"))
    if on.query is not None:
        for name in {
            node.id for node in ast.walk(ast.parse(on.query.strip(), mode="eval")) if isinstance(node, ast.Name)
        }:
            _column(rows, name)
        try:
            return {on.query: rows.query(on.query, engine="python")}
        except (TypeError, ValueError) as error:
            raise ConfigError(f"gates: rule: query '{on.query}': {' '.join(str(error).split())}") from None
    if on.length is not None:
        return _by(rows, _column(rows, "chars").map(lambda chars: _band(int(chars), on.length or [])))
    return _by(rows, _column(rows, on.column) if on.column is not None else _called(str(on.function), rows))


def _by(rows: pd.DataFrame, names: pd.Series) -> dict[str, pd.DataFrame]:
    return {str(name): part for name, part in rows.groupby(names.to_numpy(), sort=False)}


def _band(chars: int, bounds: list[int]) -> str:
    below = [bound for bound in bounds if bound < chars]
    if len(below) == len(bounds):
        return f"over {bounds[-1]} characters"
    return f"{below[-1] + 1 if below else 0} to {bounds[len(below)]} characters"


def _column(rows: pd.DataFrame, name: str) -> pd.Series:
    if name not in rows:
        raise ConfigError(f"gates: rule: column '{name}' is not stored; there are: {', '.join(map(str, rows.columns))}")
    return rows[name]


def _called(name: str, rows: pd.DataFrame) -> pd.Series:
    import pandas as pd

    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)(rows.copy())
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"gates: rule: function '{name}' cannot be loaded: {error}") from None
    except Exception as error:
        raise ConfigError(f"gates: rule: function '{name}' failed: {type(error).__name__}: {error}") from None
    if not isinstance(found, pd.Series) or len(found) != len(rows):
        raise ConfigError(f"gates: rule: function '{name}' must return a Series with a group's name for each row")
    return found


def _check_query(query: str) -> None:
    try:
        tree = ast.parse(query.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(
            f"'{query}' cannot be read; write comparisons such as chars > 200 and confidence < 0.5"
        ) from None
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED) or (isinstance(node, ast.Name) and node.id.startswith("__")):
            part = ast.get_source_segment(query.strip(), node) if isinstance(node, ast.expr) else None
            raise ValueError(f"'{part or query}' is no comparison of columns with values; nothing else is read")
    if not isinstance(tree.body, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.BinOp):
        raise ValueError(f"'{query}' compares nothing; write comparisons such as chars > 200")
