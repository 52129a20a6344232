"""Redact personal data from texts before they are written to disk."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence

from cl.errors import ConfigError

Redaction = Callable[[str], str]

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
