"""Which rows a condition chooses: comparisons of columns with values, read and never executed.

``label in ['fee', 'loan'] and date < '2026-01-01'``, ``chars > 200 and not (target == 'billing')``,
``50 < chars <= 300``. There are no calls, no attributes and no arithmetic, so a condition from elsewhere cannot run
anything.

A column that holds numbers is compared with numbers, every other one with text; a number equals a text that spells it
(``id == 17``), and orders none. A missing text equals ``''`` and ``None``, and is neither before nor after any other.
"""

from __future__ import annotations

import ast
import operator
import warnings
from collections.abc import Callable, Collection
from typing import Any

from cl.errors import InputError
from cl.heavy import np, pd

GRAMMAR = "write comparisons of columns with values, joined by and, or, not: label == 'fee' and chars > 200"
LONGEST = 1_000
HUGE = 1e300
EQUAL: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {ast.Eq: operator.eq, ast.NotEq: operator.ne}
ORDER: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
    ast.NotEq: ast.NotEq,
}
"""The same comparison with its sides exchanged."""


def columns_in(condition: str, *, numbers: Collection[str] = ()) -> set[str]:
    """Return the columns that a condition names, and check it before there are rows.

    Args:
        condition: the text.
        numbers: the columns that hold numbers; all others hold text.

    Raises:
        InputError: it is no condition, or compares a column with what it cannot hold.
    """
    tree = _parse(condition)
    names = sorted({node.id for node in ast.walk(tree) if isinstance(node, ast.Name)})
    empty = pd.DataFrame({name: pd.Series(dtype=float if name in numbers else object) for name in names})
    select_rows(condition, empty, numbers=numbers)
    return set(names)


def numbers_in(condition: str) -> set[str]:
    """Return the columns that a condition orders by a number, and so takes to hold numbers.

    >>> sorted(numbers_in("stars >= 4 and label == 3 and -1 < score < '2'"))
    ['score', 'stars']

    Raises:
        InputError: it is no condition.
    """
    names = set()
    for node in ast.walk(_parse(condition)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, comparison, right in zip(sides, node.ops, sides[1:], strict=False):
                if type(comparison) in ORDER:
                    pair = {type(side): side for side in (left, right)}
                    if isinstance(pair.get(ast.Name), ast.Name) and any(map(_is_number, (left, right))):
                        names.add(pair[ast.Name].id)  # type: ignore[attr-defined]
    return names


def _is_number(node: ast.expr) -> bool:
    value = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(value, ast.Constant) and type(value.value) in (int, float)


def select_rows(condition: str, rows: pd.DataFrame, *, numbers: Collection[str] | None = None) -> np.ndarray:
    """Return for each row whether a condition chooses it.

    Args:
        condition: the text.
        rows: the table.
        numbers: the columns that hold numbers, all others being read as text; None: as their types say.

    Raises:
        InputError: it is no condition, names a column that is not there, or compares what cannot be compared.
    """
    try:
        return _Reader(condition, rows, numbers).mask(_parse(condition))
    except RecursionError:
        raise _unreadable(condition) from None


def _parse(condition: str) -> ast.expr:
    try:
        if len(condition) > LONGEST:
            raise ValueError
        with warnings.catch_warnings(action="ignore"):  # Python warns of a backslash in a text
            return ast.parse(condition.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _unreadable(condition) from None


def _unreadable(condition: str) -> InputError:
    shown = condition if len(condition) <= 200 else f"{condition[:200]}..."
    return InputError(f"condition {shown!r}: cannot be read; {GRAMMAR}")


class _Reader:
    """Walks the tree of a condition; whatever is not listed here is refused, calls above all."""

    def __init__(self, condition: str, rows: pd.DataFrame, numbers: Collection[str] | None) -> None:
        self.condition, self.rows, self.numbers = condition.strip(), rows, numbers

    def mask(self, node: ast.expr) -> np.ndarray:
        """Return the rows for which a condition, or a part of one, holds."""
        if isinstance(node, ast.BoolOp):
            parts = [self.mask(value) for value in node.values]
            return _all(parts) if isinstance(node.op, ast.And) else _any(parts)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            left, right = self.mask(node.left), self.mask(node.right)
            return _all([left, right]) if isinstance(node.op, ast.BitAnd) else _any([left, right])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
            return ~self.mask(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:], strict=False)
            return _all([self.compared(*pair) for pair in pairs])
        raise self.refusal(node)

    def compared(self, left: ast.expr, comparison: ast.cmpop, right: ast.expr) -> np.ndarray:
        """Return the rows for which one comparison holds."""
        if isinstance(comparison, ast.In | ast.NotIn):
            if not isinstance(left, ast.Name) or not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise self.refusal(right)
            equal = [self.against(left, ast.Eq, self.value(value)) for value in right.elts]
            among = _any([np.zeros(len(self.rows), dtype=bool), *equal])
            return ~among if isinstance(comparison, ast.NotIn) else among
        kind = type(comparison)
        if kind not in MIRRORED:
            raise self.refusal(right)
        if isinstance(left, ast.Name) and isinstance(right, ast.Name):
            return self.columns(left, kind, right)
        if isinstance(left, ast.Name):
            return self.against(left, kind, self.value(right))
        if isinstance(right, ast.Name):
            return self.against(right, MIRRORED[kind], self.value(left))
        raise self.refusal(left)

    def columns(self, left: ast.Name, kind: type[ast.cmpop], right: ast.Name) -> np.ndarray:
        """Compare two columns that hold the same kind of values."""
        if self.holds_numbers(left) != self.holds_numbers(right):
            text, number = (left, right) if self.holds_numbers(right) else (right, left)
            raise self.wrong(f"compares '{text.id}', which is text, with '{number.id}', a number")
        return self._apply(kind, self.column(left), self.column(right))

    def against(self, name: ast.Name, kind: type[ast.cmpop], value: str | float | None) -> np.ndarray:
        """Compare a column with a value."""
        column, numeric = self.column(name), self.holds_numbers(name)
        if value is None:
            if kind not in EQUAL:
                raise self.wrong(f"orders '{name.id}' by None, which has no place in an order; {GRAMMAR}")
            missing = (column.isna() if numeric else column == "").to_numpy(dtype=bool)
            result: np.ndarray = ~missing if kind is ast.NotEq else missing
            return result
        if numeric and isinstance(value, str):
            raise self.wrong(f"compares '{name.id}', a number, with {value!r}")
        if not numeric and not isinstance(value, str):
            if kind in ORDER:
                there = f", or use a column of numbers: {', '.join(sorted(self.numbers))}" if self.numbers else ""
                raise self.wrong(f"orders '{name.id}', which is text, by the number {value:g}; quote it{there}")
            value = str(value)
        return self._apply(kind, column, value)

    def _apply(self, kind: type[ast.cmpop], column: pd.Series, other: Any) -> np.ndarray:
        if kind in EQUAL:
            return np.asarray(EQUAL[kind](column, other), dtype=bool)
        known = column.notna() & (column.astype(object) != "")
        if isinstance(other, pd.Series):
            known &= other.notna() & (other.astype(object) != "")
        result: np.ndarray = np.asarray(ORDER[kind](column, other), dtype=bool) & known.to_numpy(dtype=bool)
        return result

    def holds_numbers(self, name: ast.Name) -> bool:
        if self.numbers is not None:
            return name.id in self.numbers
        return name.id in self.rows and pd.api.types.is_numeric_dtype(self.rows[name.id])

    def column(self, name: ast.Name) -> pd.Series:
        """Return a column as numbers, or as text with '' for what is missing."""
        if name.id not in self.rows:
            columns = ", ".join(map(str, self.rows.columns))
            raise self.wrong(f"no column '{name.id}'; there are: {columns}")
        values = self.rows[name.id]
        if not self.holds_numbers(name):
            return values.map(_as_text).astype(object)
        try:
            return pd.to_numeric(values)
        except (TypeError, ValueError):
            raise self.wrong(f"column '{name.id}' must hold numbers, and holds text") from None

    def value(self, node: ast.expr) -> str | float | None:
        """Return a constant: text, a number, or None."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            number = self.value(node.operand)
            if isinstance(number, int | float):
                return -number
        if isinstance(node, ast.Constant) and (node.value is None or type(node.value) in (str, int, float)):
            value: str | float | None = node.value  # type: ignore[assignment]
            if isinstance(value, int | float) and not abs(value) < HUGE:
                raise self.wrong("compares a column with a number that is too large")
            return value
        raise self.refusal(node)

    def refusal(self, node: ast.expr) -> InputError:
        part = ast.get_source_segment(self.condition, node) or self.condition
        return self.wrong(f"{part[:100]!r} is no comparison of a column; {GRAMMAR}")

    def wrong(self, what: str) -> InputError:
        return InputError(f"condition {self.condition[:200]!r}: {what}")


def _all(parts: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.logical_and.reduce(parts), dtype=bool)


def _any(parts: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.logical_or.reduce(parts), dtype=bool)


def _as_text(value: Any) -> str:
    """Return a list of tokens or tags as one text, no value as an empty one."""
    if isinstance(value, list | tuple | np.ndarray):
        return " ".join(map(str, value))
    return "" if value is None or value != value or value is pd.NA else str(value)
