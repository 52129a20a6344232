"""The files of a language model's base, known by their digests."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class LanguageBase:
    """Which base a version has: the name in the configuration, and the SHA-256 of each of its files.

    ``layers`` are the numbers of those that are used, of a version from which layers were dropped; None: all.
    """

    name: str
    files: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[int, ...] | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of all files' digests."""
        return hashlib.sha256(json.dumps(sorted(self.files.items())).encode()).hexdigest()

    def lies_in(self, folder: Path) -> bool:
        """Return whether a folder has these very files."""
        return all((folder / name).is_file() and sha256_of(folder / name) == own for name, own in self.files.items())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    known = path.stat()
    return _digest_of(path, known.st_size, known.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _digest_of(path: Path, size: int, changed: int) -> str:
    """Return the digest of a file, computed once while it has this size and time: a base may be large."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
