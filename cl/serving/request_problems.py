"""Describe what is wrong with a request: the field, what is expected there, and the kind of value that was sent.

The validator's own messages name its types and functions, and repeat what the client sent; none of that leaves the
server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cl.serving.schemas import EXPECTED, PATTERNS

SHOWN = 5
"""Most problems that one answer describes."""
ROWS = ("input", "inputs")
"""Fields that hold rows, whose own fields are the inputs of a task."""
DIGITS = 12
"""Most characters of a number that is repeated."""

_EXPECTED: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "string_type": lambda bounds: "text",
    "string_unicode": lambda bounds: "text without half a character (a lone surrogate)",
    "string_too_short": lambda bounds: f"text of at least {_count(bounds['min_length'], 'character')}",
    "string_too_long": lambda bounds: f"text of at most {_count(bounds['max_length'], 'character')}",
    "string_pattern_mismatch": lambda bounds: PATTERNS[bounds["pattern"]],
    "list_type": lambda bounds: "a list",
    "too_short": lambda bounds: f"a list of at least {_count(bounds['min_length'], 'item')}",
    "too_long": lambda bounds: f"a list of at most {_count(bounds['max_length'], 'item')}",
    "int_type": lambda bounds: "an integer",
    "int_parsing": lambda bounds: "an integer",
    "int_parsing_size": lambda bounds: "an integer",
    "int_from_float": lambda bounds: "an integer",
    "finite_number": lambda bounds: "an integer",
    "greater_than_equal": lambda bounds: f"at least {bounds['ge']}",
    "less_than_equal": lambda bounds: f"at most {bounds['le']}",
    "bool_type": lambda bounds: "true or false",
    "bool_parsing": lambda bounds: "true or false",
    "model_type": lambda bounds: "a JSON object",
    "model_attributes_type": lambda bounds: "a JSON object",
}
"""What is expected, by the validator's type of error and its bounds."""


def describe_problems(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return the first problems that the validator reported, in a line."""
    lines = list(dict.fromkeys(_describe(error) for error in errors[:SHOWN]))
    more = f"; and {len(errors) - SHOWN} more" if len(errors) > SHOWN else ""
    return "; ".join(lines) + more


def kind_of(value: Any) -> str:
    """Return what kind of JSON value something is, with its size but not its content.

    >>> kind_of("where is my parcel?"), kind_of([1, 2]), kind_of(None), kind_of(0)
    ('text of 19 characters', 'a list of 2 items', 'null', 'the number 0')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() > 4 * DIGITS:  # its digits would take long
        return "a number"
    if isinstance(value, int | float):
        return f"the number {value}" if len(str(value)) <= DIGITS else "a number"
    if isinstance(value, str):
        return f"text of {_count(len(value), 'character')}" if value else "empty text"
    if isinstance(value, list):
        return f"a list of {_count(len(value), 'item')}" if value else "an empty list"
    return "an object"


def _describe(error: Mapping[str, Any]) -> str:
    kind, field, value = error["type"], _path(error["loc"]), error.get("input")
    if kind == "json_invalid":
        return f"the body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    if isinstance(value, bytes):
        return "the body is not read as JSON; send it with Content-Type: application/json"
    if kind == "missing":
        return f"{field or 'the body'} is missing"
    if kind == "value_error":  # of a rule of our own, whose words it has
        reason = str(error["ctx"]["error"])
        return f"{field}: {reason}" if field else reason
    expected = error["msg"] if kind == EXPECTED else _expected(kind, error.get("ctx", {}))
    return f"{field or 'the body'}: expected {expected}, got {kind_of(value)}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _expected(kind: str, bounds: Mapping[str, Any]) -> str:
    return _EXPECTED[kind](bounds) if kind in _EXPECTED else "another value"


def _path(location: Sequence[str | int]) -> str:
    """Return the name of a field and the places within its lists; what else the validator names are its own types."""
    field, *within = [part for part in location if part not in ("body", "header", "query")] or [""]
    path, is_row = str(field), field in ROWS
    for part in within:
        if isinstance(part, int):
            path += f"[{part}]"
        elif is_row:
            path, is_row = f"{path}.{part}", False
    return path
