"""Explain a configuration error in one line that says how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import date
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cl.redaction import may_hold_secret

LONGEST_VALUE = 60
TYPES = {
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "an integer"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    "string_type": "text",
    "list_type": "a list",
    **dict.fromkeys(("dict_type", "model_type"), "keys with values"),
}
"""What pydantic's errors of a wrong type ask for."""
PATTERNS = {
    r"^[A-Za-z0-9_-]+$": "made of letters, digits, '-' and '_' only",
    r"^[a-z0-9_-]+$": "made of lower-case letters, digits, '-' and '_' only",
    r"^env:[A-Za-z_][A-Za-z0-9_]*$": "env:NAME, which names an environment variable",
    r"^[a-z0-9-]+/[a-z0-9-]+$": "TYPE/NAME, such as slack-webhook/ops",
}
"""The patterns of fields, in words."""
UNION_BRANCHES = {"str", "int", "float", "bool", "none", "date"}
"""What pydantic puts into a location for the branch of a union that it tried, besides classes and `list[...]`."""


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what is wrong as one line: ``training.batch_size must be at least 1, got 0``."""
    return explain_fault(most_telling(error), model)


def explain_fault(wrong: ErrorDetails, model: type[BaseModel]) -> str:
    """Return what is wrong with one value as one line."""
    key = ".".join(map(str, keys_of(wrong)))
    context, got = wrong.get("ctx", {}), f"got {_describe(wrong)}"
    match wrong["type"]:
        case "extra_forbidden":
            return _unknown_key(wrong["loc"], key, model)
        case "greater_than_equal":
            return f"{key} must be at least {context['ge']:g}, {got}"
        case "greater_than":
            return f"{key} must be more than {context['gt']:g}, {got}"
        case "less_than_equal":
            return f"{key} must be at most {context['le']:g}, {got}{_as_share(wrong, context['le'])}"
        case "less_than":
            return f"{key} must be less than {context['lt']:g}, {got}{_as_share(wrong, context['lt'])}"
        case "literal_error":
            return f"{key} must be {context['expected']}, {got}"
        case "missing":
            return f"{key}: is missing"
        case "value_error":
            return f"{key}: {context['error']}" if key else str(context["error"])
        case "string_pattern_mismatch" if context["pattern"] in PATTERNS:
            return f"{key} must be {PATTERNS[context['pattern']]}, {got}"
    if (wanted := TYPES.get(wrong["type"])) is not None:
        return f"{key} must be {wanted}, {got}"
    return f"{key}: {wrong['msg'][0].lower()}{wrong['msg'][1:]}, {got}"


def most_telling(error: ValidationError) -> ErrorDetails:
    """Return pydantic's first error; of the branches of a union, that of the one that was meant.

    That is the branch which got furthest, and of equals one whose type the value has: in `on: {query: ...}`, the error
    of the query, not that a mapping is none of the words that `on` also takes. A misspelt key comes before the key that
    is missing for it.
    """
    return _first_fault(error.errors(include_url=False))[0]


def faults_in(error: ValidationError) -> list[ErrorDetails]:
    """Return the most telling error of each value that is wrong."""
    faults, left = [], error.errors(include_url=False)
    while left:
        fault, group = _first_fault(left)
        faults.append(fault)
        left = [other for other in left if other not in group]
    return faults


def _first_fault(errors: list[ErrorDetails]) -> tuple[ErrorDetails, list[ErrorDetails]]:
    """Return the most telling of the errors that have the cause of the first, and all that have it."""
    first = keys_of(errors[0])
    union = _keys_of_union(errors[0])
    group = [
        other
        for other in errors
        if keys_of(other)[: len(first)] == first or (union is not None and _keys_of_union(other) == union)
    ]
    branches = [other for other in group if keys_of(other)[: len(first)] == first]
    if errors[0]["type"] == "missing":
        misspelt = [
            other for other in errors if other["type"] == "extra_forbidden" and keys_of(other)[:-1] == first[:-1]
        ]
        branches, group = misspelt[:1] or branches, [*group, *misspelt[:1]]
    return min(branches, key=lambda other: (-len(keys_of(other)), _is_other_type(other))), group


def _keys_of_union(error: ErrorDetails) -> list[int | str] | None:
    """Return the keys that lead to the value of several possible types in which an error is; None: it is in none."""
    above = [*error["loc"]]
    branch = next((number for number, part in enumerate(above) if _is_union_branch(part)), None)
    return None if branch is None else above[:branch]


def keys_of(error: ErrorDetails) -> list[int | str]:
    """Return the keys of the configuration that lead to an error."""
    *above, last = error["loc"] or ("",)
    unknown = error["type"] == "extra_forbidden"
    parts = [part for part in above if not _is_union_branch(part)]
    return [*parts, last] if last != "" and (unknown or not _is_union_branch(last)) else parts


def _is_other_type(error: ErrorDetails) -> bool:
    wrong_word = error["type"] == "literal_error" and not isinstance(error["input"], str)
    return wrong_word or error["type"].endswith("_type")


def _is_union_branch(part: int | str) -> bool:
    return isinstance(part, str) and (part in UNION_BRANCHES or "[" in part or part[:1].isupper())


def _describe(error: ErrorDetails) -> str:
    """Return the value that was given, unless it is long or may be a secret."""
    value = error["input"]
    if value is None:
        return "nothing; without the key, its default counts"
    if isinstance(value, dict | list | tuple | set):
        return "a mapping" if isinstance(value, dict) else "a list"
    if may_hold_secret(*error["loc"]) or (isinstance(value, str) and error["type"] in ("model_type", "dict_type")):
        return "a value that is not shown, as it may be a secret"
    if isinstance(value, date):
        return f"the date {value.isoformat()}; quote it to make it text"
    if isinstance(value, bool | int | float | str):
        text = repr(value) if not isinstance(value, int) or abs(value) < 10**LONGEST_VALUE else "a huge number"
        return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
    return f"a {type(value).__name__}"


def _as_share(error: ErrorDetails, most: float) -> str:
    """Return how to write a share that was given in percent."""
    value = error["input"]
    given = isinstance(value, int | float) and 1 <= value <= 100 and most <= 1
    return f"; for {value:g} % write {value / 100:g}" if given else ""


def _unknown_key(location: tuple[int | str, ...], key: str, model: type[BaseModel]) -> str:
    sections = [model]
    for part in location[:-1]:
        fields = [section.model_fields[name] for section in sections for name in _names_of(part, section)]
        if fields:  # else an index, a branch of a union or a key that a person chose
            sections = [inner for field in fields for inner in _sections_in(field.annotation)]
    known = [field.alias or name for section in sections for name, field in section.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if not known:
        return f"{key} is not a known key"
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
    return f"{key} is not a known key; {hint}"


def _names_of(key: int | str, section: type[BaseModel]) -> list[str]:
    return [name for name, field in section.model_fields.items() if (field.alias or name) == key]


def _sections_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the sections that a field holds, also in lists and unions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)
