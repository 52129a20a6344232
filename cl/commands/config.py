"""`cl config`: check a configuration, and show what counts and where it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from cl.config import Config, load
from cl.config.config import place_of, read_raw
from cl.config.overrides import read_overrides
from cl.config.secrets import FROM_ENVIRONMENT, WHOLE
from cl.redaction import MASK, may_hold_secret, without_password

DEFAULT, DERIVED = "default", "derived from other keys"


def list_settings(path: Path, *, every: bool = False) -> list[dict[str, Any]]:
    """Return the effective settings by dotted key, each with its default and its origin.

    Args:
        path: the configuration.
        every: also those that are at their default.

    Raises:
        ConfigError: the configuration is not valid.
    """
    config = load(path)
    raw, document = read_raw(path)
    replaced, defaults = read_overrides(), _flatten(Config())
    entries = []
    for key, value in _flatten(config).items():
        keys = key.split(".")
        is_given, is_default = _is_given(raw, keys), defaults.get(key) == value
        if not (every or is_given or not is_default):
            continue
        where, line = place_of(keys, path.name, document, replaced) if is_given else (DEFAULT, None)
        entries.append(
            {
                "key": key,
                "value": _without_secrets(keys, value),
                "default": _without_secrets(keys, defaults.get(key)),
                "from": where if is_given or is_default else DERIVED,
                "line": line,
            }
        )
    return entries


def _flatten(section: BaseModel, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the values of sections by dotted keys; lists and the fields of a plug-in stay values."""
    flat: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value, keys = getattr(section, name), (*above, field.alias or name)
        flat |= _flatten(value, keys) if isinstance(value, BaseModel) else {".".join(keys): _plain(value)}
    return flat


def _plain(value: Any) -> Any:
    """Return a value as plain data; of the entries of a list, what they set."""
    return TypeAdapter(Any).dump_python(value, mode="json", by_alias=True, exclude_none=isinstance(value, list))


def _is_given(raw: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(raw, dict) or key not in raw:
            return False
        raw = raw[key]
    return True


def _without_secrets(keys: list[str], value: Any) -> Any:
    """Return a value with its secrets hidden; `env:NAME` names one, and is shown."""
    if isinstance(value, dict):
        return {key: _without_secrets([*keys, key], inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_secrets(keys, inner) for inner in value]
    if not isinstance(value, str) or value.startswith(FROM_ENVIRONMENT) or not may_hold_secret(*keys[-1:]):
        return value
    in_source = keys[:2] == ["data", "source"] and WHOLE.search(keys[-1])  # elsewhere, such keys hold env:NAME only
    return MASK if in_source else without_password(value)
