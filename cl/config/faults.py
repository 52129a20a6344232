"""Everything that is wrong with a configuration, not only the first fault."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cl.config.config import Config, format_place, place_of, read_raw
from cl.config.messages import explain_fault, faults_in, keys_of
from cl.config.overrides import read_overrides
from cl.errors import ConfigError
from cl.redaction import as_line

MOST_ROUNDS = 20
"""Checks of a configuration, each without the values that were found wrong before."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a configuration, where it was given, and the key; the message has the remedy."""

    where: str
    line: int | None
    key: str
    message: str

    @property
    def text(self) -> str:
        """The fault as one bounded line without secrets."""
        return as_line(f"{format_place(self.where, self.line)}: {self.message}")


def find_faults(path: Path) -> list[Fault]:
    """Return every fault of a configuration file, with what `--set` and `CL_SET` put in its place; none: it is valid.

    Rules over several sections are checked only where the sections themselves are right: each round leaves out the
    values that were wrong in the one before.

    Raises:
        ConfigError: the file cannot be read, or is not YAML.
    """
    raw, document = read_raw(path)
    replaced, faults = read_overrides(), dict[str, Fault]()
    for _ in range(MOST_ROUNDS):
        try:
            Config.model_validate(raw)
            break
        except ValidationError as error:
            raw = copy.deepcopy(raw)
            wrong_keys = []
            for wrong in faults_in(error):
                message = explain_fault(wrong, Config)
                keys = keys_of(wrong) or message.partition(":")[0].split(".")
                wrong_keys.append(keys[:-1] if wrong["type"] == "missing" else keys)
                if wrong["type"] != "missing" or not _is_misspelt(keys, faults):
                    where, line = place_of(keys, str(path), document, replaced)
                    faults.setdefault(message, Fault(where, line, ".".join(map(str, keys)), message))
            for keys in sorted(wrong_keys, key=lambda keys: [str(key).zfill(4) for key in keys], reverse=True):
                _remove(raw, keys)
    return sorted(faults.values(), key=lambda fault: fault.line or 0)


def check_file(path: Path) -> list[Fault]:
    """Return every fault of a configuration file, one that cannot be read included."""
    try:
        return find_faults(path)
    except ConfigError as error:
        return [Fault(str(path), None, "", str(error).removeprefix(f"{path}: "))]


def _is_misspelt(keys: Sequence[int | str], faults: dict[str, Fault]) -> bool:
    """Return whether the section that misses a key had one that is not known: that one was meant."""
    section = ".".join(map(str, keys[:-1]))
    return any(fault.key.rpartition(".")[0] == section for fault in faults.values())


def _remove(raw: Any, keys: Sequence[int | str]) -> None:
    """Remove the value below some keys from a configuration, or where there is none, the nearest above it."""
    if not keys:
        return
    *above, last = keys
    for key in above:
        inner = raw.get(key) if isinstance(raw, dict) else raw[key] if isinstance(key, int) else None
        if not isinstance(inner, dict | list):
            last = key
            break
        raw = inner
    if isinstance(raw, dict):
        raw.pop(last, None)
    elif isinstance(last, int) and last < len(raw):
        del raw[last]
