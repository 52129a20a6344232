"""Settings in place of those in cl.yaml: from `--set KEY=VALUE`, and from the environment variable `CL_SET`.

The command line puts its settings into the variable, so that the processes which a command starts read the same
configuration: a server's workers, a smoke test, a flow.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cl.config.secrets import hide_secrets
from cl.config.yaml import read_yaml
from cl.errors import ConfigError

VARIABLE = "CL_SET"
OPTION = "--set"
GIVEN = "CL_SET_GIVEN"
"""The variable with what `--set` says; apart from the other one, as it wins, and as messages name the origin."""


@dataclass(frozen=True)
class Override:
    """A setting in place of the one in cl.yaml, and its origin: `--set` or `CL_SET`."""

    key: str
    value: Any
    origin: str

    def touches(self, keys: Sequence[int | str]) -> bool:
        """Return whether these keys lead into the setting, or to a section above it."""
        own = self.key.split(".")
        return all(mine == str(theirs) for mine, theirs in zip(own, keys, strict=False))


def parse_setting(text: str) -> tuple[str, Any]:
    """Return the dotted key and the value of a setting in the form KEY=VALUE; the value is YAML.

    >>> parse_setting("training.epochs=2"), parse_setting("gates=[{name: floor, min: 0.8}]")
    (('training.epochs', 2), ('gates', [{'name': 'floor', 'min': 0.8}]))

    Raises:
        ConfigError: there is no key or no equals sign, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise ConfigError(f"{OPTION} {text[:60]}: is not KEY=VALUE; write for example training.epochs=2")
    try:
        read = read_yaml(value)
    except ConfigError as error:
        raise ConfigError(f"{OPTION} {key[:60]}: {error}") from None
    hide_secrets(nest({key: read}))
    return key, read


@contextlib.contextmanager
def override(settings: Sequence[str]) -> Iterator[None]:
    """Let settings in the form KEY=VALUE count in this block, in this process and those that it starts.

    Raises:
        ConfigError: one of them cannot be read.
    """
    given = dict(map(parse_setting, settings))
    before = os.environ.get(GIVEN)
    if given:
        os.environ[GIVEN] = json.dumps({**_read(GIVEN), **given}, default=str, ensure_ascii=False)
    try:
        yield
    finally:
        if before is not None:
            os.environ[GIVEN] = before
        elif given:
            del os.environ[GIVEN]


def read_overrides() -> dict[str, Override]:
    """Return the settings that count in place of those in cl.yaml, by their dotted keys.

    Raises:
        ConfigError: an environment variable holds no mapping.
    """
    return {
        key: Override(key, value, origin)
        for variable, origin in ((VARIABLE, VARIABLE), (GIVEN, OPTION))
        for key, value in _read(variable).items()
    }


def _read(variable: str) -> dict[str, Any]:
    try:
        settings = read_yaml(os.environ.get(variable, ""))
    except ConfigError as error:
        raise ConfigError(f"{variable}: {error}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ConfigError(f"{variable}: must hold keys and values, such as '{{training.epochs: 2}}'")
    return settings


def nest(settings: dict[str, Any]) -> dict[str, Any]:
    """Return dotted keys as nested ones.

    >>> nest({"training.epochs": 2, "training.lr": 0.1, "seed": 3})
    {'training': {'epochs': 2, 'lr': 0.1}, 'seed': 3}
    """
    nested: dict[str, Any] = {}
    for dotted, value in settings.items():
        put(nested, dotted.split("."), value)
    return nested


def put(raw: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set the value below some keys of a configuration, in place.

    Raises:
        ConfigError: one of the keys above holds a value.
    """
    for number, key in enumerate(keys[:-1], 1):
        inner = raw.get(key) or {}  # also where the file leaves a section empty
        if not isinstance(inner, dict):
            above, below = ".".join(keys[:number]), ".".join(keys[number:])
            raise ConfigError(
                f"{OPTION} {'.'.join(keys)}: '{above}' holds a value, not keys; give all of it: "
                f"{above}={{..., {below}: ...}}"
            )
        raw[key] = raw = dict(inner)  # a copy: an alias in the file may repeat the section elsewhere
    raw[keys[-1]] = value
