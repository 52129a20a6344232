"""Explain a configuration error in one line that says how to fix it."""

from __future__ import annotations

import difflib

from pydantic import BaseModel, ValidationError


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return pydantic's first error as one line: ``training.batch_size must be at least 1, got 0``."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"] if not _is_union_branch(part))
    context = first.get("ctx", {})
    match first["type"]:
        case "extra_forbidden":
            return _unknown_key(first["loc"], key, model)
        case "greater_than_equal":
            return f"{key} must be at least {context['ge']:g}, got {first['input']!r}"
        case "greater_than":
            return f"{key} must be more than {context['gt']:g}, got {first['input']!r}"
        case "less_than_equal":
            return f"{key} must be at most {context['le']:g}, got {first['input']!r}"
        case "less_than":
            return f"{key} must be less than {context['lt']:g}, got {first['input']!r}"
        case "literal_error":
            return f"{key} must be {context['expected']}, got {first['input']!r}"
        case "string_pattern_mismatch" if "://" in first["input"]:  # the address may hold a token
            return f"{key}: should match {context['pattern']}, got an address"
        case "value_error":
            return f"{key}: {context['error']}" if key else str(context["error"])
    return f"{key}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}"


def _unknown_key(location: tuple[int | str, ...], key: str, section: type[BaseModel]) -> str:
    for part in location[:-1]:
        field = next((f for n, f in section.model_fields.items() if (f.alias or n) == part), None)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return f"{key} is not a known key"
        section = field.annotation
    known = [field.alias or name for name, field in section.model_fields.items()]
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(known)}"
    return f"{key} is not a known key; {hint}"


def _is_union_branch(part: int | str) -> bool:
    return isinstance(part, str) and ("[" in part or part == "str")
