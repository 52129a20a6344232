"""Redact personal data from texts before they are written to disk."""

from __future__ import annotations

import importlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cl.errors import ConfigError
from cl.tasks import Schema, ValueKind

Redaction = Callable[[str], str]
REDACTED = "<REDACTED>"
"""Stands for a word of which a redaction leaves nothing."""

EMAIL = re.compile(r"[^\s@<>()\[\],;:\"']{1,64}@[^\s@<>()\[\],;:\"']{1,255}\.[^\W\d_]{2,24}")
INTERNATIONAL = r"(?:\+|\(0|0)\(?\d(?:[ ./()\-]{0,2}\d){7,14}"
AMERICAN = r"\(?\d{3}\)?[ .\-]\d{3}[ .\-]\d{4}"
PHONE = re.compile(rf"(?<![\w+])(?:{INTERNATIONAL}|{AMERICAN})(?!\w)")
DIGITS = re.compile(r"(?<!\d)(?:\d{7,}|\d(?:[ \-]?\d){12,})(?!\d)")
"""Seven digits in a row or thirteen in groups, like card and account numbers; dates are shorter."""


def _redact_email(text: str) -> str:
    return EMAIL.sub("<EMAIL>", text) if "@" in text else text


def _redact_phone(text: str) -> str:
    return PHONE.sub("<PHONE>", text)


def _redact_digits(text: str) -> str:
    return DIGITS.sub("<DIGITS>", text)


BUILT_IN: dict[str, Redaction] = {"email": _redact_email, "phone": _redact_phone, "digits": _redact_digits}


def build_redactor(names: Sequence[str]) -> Redaction:
    """Return a function that applies the named redactions in order.

    >>> build_redactor(["email", "digits"])("mail anna@example.org about order 1234567")
    'mail <EMAIL> about order <DIGITS>'

    Raises:
        ConfigError: a module or its function does not exist.
    """
    steps = [BUILT_IN[name] if name in BUILT_IN else _import_redaction(name) for name in names]

    def redact(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return redact


def redact_inputs(entry: Mapping[str, Any], schema: Schema, redact: Redaction) -> dict[str, Any]:
    """Return a row's inputs without personal data; spans keep to the parts of the text that they mean.

    >>> from cl.tasks import Column
    >>> head = Column("head", ValueKind.SPAN, "", [0, 4])
    >>> pair = Schema((Column("text", ValueKind.TEXT, "", "a"), head), Column("relation", ValueKind.LABEL, "", "a"))
    >>> redact_inputs({"text": "anna@b.org met Anna", "head": [15, 19]}, pair, build_redactor(["email"]))
    {'text': '<EMAIL> met Anna', 'head': [12, 16]}

    Raises:
        ValueError: the text cannot be redacted part by part.
    """
    inputs = {column.name: _redact_value(column.kind, entry.get(column.name), redact) for column in schema.inputs}
    spans = {column.name: inputs[column.name] for column in schema.inputs if column.kind is ValueKind.SPAN}
    text = entry.get(schema.text) if spans and schema.text else None
    if text is None or inputs[str(schema.text)] == text:
        return inputs
    cuts = sorted({0, len(text), *(index for span in spans.values() if span is not None for index in span)})
    parts = [redact(text[start:end]) for start, end in itertools.pairwise(cuts)]
    joined = "".join(parts)
    if redact(joined) != joined:  # a part of what names a person lies on each side of a cut
        raise ValueError("a span cuts what is to be redacted")
    moved = dict(zip(cuts, [sum(map(len, parts[:number])) for number in range(len(cuts))], strict=True))
    new = {name: span and [moved[index] for index in span] for name, span in spans.items()}
    return {**inputs, str(schema.text): joined, **new}


def _redact_value(kind: ValueKind, value: Any, redact: Redaction) -> Any:
    if value is None:
        return None
    if kind is ValueKind.TEXT:
        return redact(value)
    if kind is ValueKind.WORDS:
        return [redact(word).strip() or REDACTED for word in value]
    if kind is ValueKind.MESSAGES:
        return [{**turn, "content": redact(turn["content"])} for turn in value]
    return list(map(redact, value)) if kind is ValueKind.TEXTS else value


def _import_redaction(name: str) -> Redaction:
    module, _, function = name.partition(":")
    try:
        redaction = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"serve.log.redact: '{name}' cannot be imported: {error}; is it on the path?") from None
    if not callable(redaction):
        raise ConfigError(f"serve.log.redact: '{name}' is not a function")
    result: Redaction = redaction
    return result
