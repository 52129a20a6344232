"""Rows chosen by an expression over their columns: data that is compared, never code that is run."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from cl.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 1_000
ALLOWED = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Eq, ast.NotEq, ast.Lt,
    ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn, ast.Name, ast.Load, ast.Constant, ast.List, ast.Tuple,
)  # fmt: skip
CONSTANTS = (str, int, float, bool)
NUMERIC = frozenset(
    {"chars", "best_score", "confidence", "champion_confidence"}
    | {f"{who}_{what}" for who in ("challenger", "champion") for what in ("score", "brier")}
)
"""The stored columns that hold numbers; all others hold text."""


def names_in(query: str) -> set[str]:
    """Return the columns that an expression names.

    Names of columns, constants, lists of them, comparisons, ``in``, ``and``, ``or`` and ``not`` may stand in it: no
    calls, no attributes, no ``@``. So a policy from somewhere else cannot run anything.

    Raises:
        ValueError: it does not parse, or something else stands in it.
    """
    if len(query) > LONGEST:
        raise ValueError(f"query: longer than {LONGEST} characters")
    try:
        tree = ast.parse(query.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"query: {query!r} does not parse; such as \"chars > 200 and target == 'billing'\"") from None
    nodes = list(ast.walk(tree))
    for node in nodes:
        if not isinstance(node, ALLOWED) or (isinstance(node, ast.Constant) and not isinstance(node.value, CONSTANTS)):
            what = type(node).__name__.lower()
            raise ValueError(f"query: {query!r} holds a {what}; only columns, constants, comparisons, in, and, or, not")
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    if not names or not _is_condition(tree.body):
        raise ValueError(f"query: {query!r} compares no column")
    for node in nodes:
        if isinstance(node, ast.Compare):
            _check_kinds(node, query)
    return names


def _is_condition(node: ast.AST) -> bool:
    """Tell whether it is a comparison, or comparisons joined by and, or, not: a bare column is no condition."""
    if isinstance(node, ast.BoolOp):
        return all(map(_is_condition, node.values))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not) and _is_condition(node.operand)
    return isinstance(node, ast.Compare)


def _check_kinds(comparison: ast.Compare, query: str) -> None:
    """Check that text is compared with text: a mistake is told now, and not when a model has been trained."""
    inside = list(ast.walk(comparison))
    texts = {node.id for node in inside if isinstance(node, ast.Name)} - NUMERIC
    numbers = {node.id for node in inside if isinstance(node, ast.Name)} & NUMERIC
    if texts and numbers:
        told = f"{sorted(texts)[0]}, which is text, with {sorted(numbers)[0]}, a number"
        raise ValueError(f"query: {query!r} compares {told}")
    for node in inside:
        if isinstance(node, ast.Constant) and texts and not isinstance(node.value, str):
            raise ValueError(
                f"query: {query!r} compares {sorted(texts)[0]}, which is text, with {node.value!r}; quote it"
            )
        if isinstance(node, ast.Constant) and numbers and isinstance(node.value, str):
            raise ValueError(f"query: {query!r} compares {sorted(numbers)[0]}, a number, with {node.value!r}")


def chosen(table: pd.DataFrame, query: str) -> pd.DataFrame:
    """Return the rows for which an expression holds; a text that is missing counts as an empty one.

    Raises:
        ConfigError: it compares what cannot be compared.
    """
    texts = {name: table[name].astype("string").fillna("").astype(object) for name in names_in(query) - NUMERIC}
    try:
        chosen_rows = table.assign(**texts).query(query.strip(), engine="python", local_dict={}, global_dict={})
        return table.loc[chosen_rows.index]
    except (TypeError, ValueError, NotImplementedError, KeyError, AttributeError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"gates: rule: query {query!r} cannot be computed: {told}") from None
