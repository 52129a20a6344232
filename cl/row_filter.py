"""Which rows a condition names: comparisons as in a pandas query, read and never executed.

``id == 'a-17'``, ``label in ['fee', 'loan'] and date < '2026-01-01'``, ``not (experience == '0003-may')``.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from cl.errors import InputError

GRAMMAR = "write comparisons of columns with texts, joined by and, or, not: label == 'fee' and id in ['1', '2']"
ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: lambda one, other: one < other,
    ast.LtE: lambda one, other: one <= other,
    ast.Gt: lambda one, other: one > other,
    ast.GtE: lambda one, other: one >= other,
}


def select_rows(condition: str, rows: pd.DataFrame) -> np.ndarray:
    """Return for each row whether a condition names it; all values are compared as texts.

    Raises:
        InputError: it is no such condition, or names a column that is not there.
    """
    try:
        tree = ast.parse(condition.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise InputError(f"condition {condition!r}: cannot be read; {GRAMMAR}") from None
    return _Reader(condition, rows).mask(tree)


class _Reader:
    """Walks the tree of a condition; whatever is not listed here is refused, calls above all."""

    def __init__(self, condition: str, rows: pd.DataFrame) -> None:
        self.condition, self.rows = condition, rows

    def mask(self, node: ast.expr) -> np.ndarray:
        if isinstance(node, ast.BoolOp):
            parts = [self.mask(one) for one in node.values]
            return np.logical_and.reduce(parts) if isinstance(node.op, ast.And) else np.logical_or.reduce(parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            left, right = self.mask(node.left), self.mask(node.right)
            return left & right if isinstance(node.op, ast.BitAnd) else left | right
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
            return ~self.mask(node.operand)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self.compared(node.left, node.ops[0], node.comparators[0])
        raise self.refusal(node)

    def compared(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> np.ndarray:
        if isinstance(operator, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple | ast.Set):
            found = self.column(left).isin([self.value(one) for one in right.elts]).to_numpy(dtype=bool)
            return ~found if isinstance(operator, ast.NotIn) else found
        column, value = self.column(left), self.value(right)
        if isinstance(operator, ast.Eq | ast.NotEq):
            same = (column.isna() if value is None else column == value).to_numpy(dtype=bool)
            return ~same if isinstance(operator, ast.NotEq) else same
        if type(operator) not in ORDER or value is None:
            raise self.refusal(right)
        there = column.notna().to_numpy(dtype=bool)
        there[there] = [bool(ORDER[type(operator)](one, value)) for one in column[there]]
        return there

    def column(self, node: ast.expr) -> pd.Series:
        if not isinstance(node, ast.Name):
            raise self.refusal(node)
        if node.id not in self.rows:
            there = ", ".join(map(str, self.rows.columns))
            raise InputError(f"condition {self.condition!r}: no column '{node.id}'; there are: {there}")
        return self.rows[node.id].map(lambda one: one if one is None or isinstance(one, str) else _as_text(one))

    def value(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Constant) and (node.value is None or type(node.value) in (str, int, float)):
            return None if node.value is None else str(node.value)
        raise self.refusal(node)

    def refusal(self, node: ast.expr) -> InputError:
        part = ast.get_source_segment(self.condition.strip(), node) or self.condition
        return InputError(f"condition {self.condition!r}: {part!r} is no comparison; {GRAMMAR}")


def _as_text(value: Any) -> str | None:
    """Return a list of tokens or tags as one text, no value as None."""
    if isinstance(value, list | tuple | np.ndarray):
        return " ".join(map(str, value))
    return None if value != value else str(value)
