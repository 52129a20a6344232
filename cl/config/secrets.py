"""The secrets that a configuration holds or names, which no message may show."""

from __future__ import annotations

import os
import re
from typing import Any

from cl.redaction import hide, may_hold_secret, secrets_in

FROM_ENVIRONMENT = "env:"
WHOLE = re.compile(r"token|key|pass|pwd|secret|credential|auth|header|cookie")
"""Keys whose value as a whole is a secret, or each of several between commas."""


def hide_secrets(raw: Any, *keys: str) -> None:
    """Hide the secrets of a configuration in every later message: passwords in URLs, and what `env:NAME` stands for."""
    if isinstance(raw, dict):
        for key, inner in raw.items():
            hide_secrets(inner, *keys, str(key))
    elif isinstance(raw, list):
        for inner in raw:
            hide_secrets(inner, *keys)
    elif isinstance(raw, str) and may_hold_secret(*keys[-1:]):
        variable = raw.removeprefix(FROM_ENVIRONMENT)
        hide_value(keys[-1], raw if variable == raw else os.environ.get(variable, ""), is_resolved=variable != raw)


def hide_value(key: str, value: str, *, is_resolved: bool) -> None:
    """Hide the secrets in a value in every later message.

    Args:
        key: of the configuration, or an option.
        value: as it is used.
        is_resolved: whether it comes from the environment, where it may be a secret as a whole.
    """
    hide(*secrets_in(value))
    if is_resolved and WHOLE.search(key):
        hide(*(part.strip() for part in value.split(",")))
    elif is_resolved and "webhook" in key:  # its path is enough to post to it
        hide(value.partition("://")[2].partition("/")[2])
