"""The tokens of a language model's rows, made once and memory-mapped: an epoch then costs the draw of its rows.

A chat template is rendered for each turn and its parts are tokenised one by one, so that a row takes longer than a bare
text does: here it is looked up as a whole, by what it says. Of each set of rows that was not known yet there is a file
of int32 numbers, which is written under another name and renamed: a killed process leaves no half of one. The folder
may be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cl.tasks import Encoded
from cl.tasks._language_task import Written

FORM = 1
"""Counts the changes of what is stored, or of how rows are tokenised."""
MOST_FILES = 32
"""Files of one setup: with more, they are joined."""
MAX_BYTES = 4 * 2**30
"""A folder larger than this is emptied by `prune_tokens`."""
PARTS = 4
"""What is stored of a row: its tokens, its targets, their positions, and the prompt."""


@dataclass(frozen=True)
class _File:
    """The rows of a file, sorted by their keys.

    ``keys`` are (rows, 2), the halves of a hash; ``facts`` (rows, 2) the bytes of a text and the microseconds that its
    tokens took; the parts of row ``n`` in ``numbers`` end at ``ends[n * PARTS : (n + 1) * PARTS]``.
    """

    keys: np.ndarray
    facts: np.ndarray
    ends: np.ndarray
    numbers: np.ndarray

    @classmethod
    def read(cls, path: Path) -> _File | None:
        """Return a file, memory-mapped; None: it is not there, whole."""
        try:
            flat = np.load(path, mmap_mode="r").view(np.ndarray)
            rows = int(flat[0])
            sizes = np.cumsum([2, rows * 4, rows * 2, rows * PARTS * 2])
            keys, facts, ends = (flat[start:end] for start, end in pairwise(sizes))
            file = cls(keys.view("<u8").reshape(-1, 2), facts.reshape(-1, 2), ends.view("<i8"), flat[sizes[-1] :])
        except (OSError, ValueError, EOFError, IndexError):
            return None
        return file if len(file.ends) == rows * PARTS and (not rows or file.ends[-1] == len(file.numbers)) else None

    def parts(self, index: int) -> list[np.ndarray]:
        """Return what is stored of a row: its tokens, its targets, their positions, and the prompt."""
        ends = self.ends[index * PARTS : (index + 1) * PARTS].tolist()
        start = int(self.ends[index * PARTS - 1]) if index else 0
        return [self.numbers[start:end] for start, end in pairwise([start, *ends])]

    def row(self, index: int) -> Encoded:
        """Return a row."""
        ids, targets, positions, prompt = (part.tolist() for part in self.parts(index))
        context = Written(prompt, positions, bytes=int(self.facts[index, 0]))
        return Encoded(ids, targets, list(range(len(targets))), context)


class TokenFiles:
    """A folder of token files, one below it for each setup: a tokenizer, its template, a task and a length.

    ``saved_seconds`` is the time that tokenising the rows that were found had taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, dict[str, _File]] = {}
        self.saved_seconds = 0.0

    def encode(
        self, setup: bytes, rows: pd.DataFrame, columns: Sequence[str], make: Callable[[pd.DataFrame], list[Encoded]]
    ) -> list[Encoded]:
        """Return the rows' tokens: those that are known, and of the others those that are made.

        Args:
            setup: a hash of all that decides a row's tokens but the row.
            rows: to be tokenised.
            columns: that decide them, of those that the rows have.
            make: tokenises rows.
        """
        if rows.empty:
            return []
        folder = self._folder / setup.hex()[:32]
        keys = _keys(rows, [name for name in columns if name in rows])
        file_of, row_of, files = self._find(folder, keys)
        missing = np.flatnonzero(file_of < 0)
        _, firsts = np.unique(keys[missing], axis=0, return_index=True)
        fresh, made = missing[np.sort(firsts)], list[Encoded]()
        if len(fresh):
            began = time.monotonic()
            made = make(rows.iloc[fresh].reset_index(drop=True))
            each = (time.monotonic() - began) / len(fresh)
            self._write(folder, keys[fresh], made, int(1e6 * each))
        known = {keys[row].tobytes(): own for row, own in zip(fresh, made, strict=True)}
        result = []
        for row, (file, index) in enumerate(zip(file_of.tolist(), row_of.tolist(), strict=True)):
            if file < 0:
                result.append(known[keys[row].tobytes()])
                continue
            self.saved_seconds += int(files[file].facts[index, 1]) / 1e6
            result.append(files[file].row(index))
        return result

    def _find(self, folder: Path, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[_File]]:
        """Return of each key the number of its file, -1 where there is none, and its row there; and the files."""
        files = list(self._files(folder).values())
        file_of, row_of = np.full(len(keys), -1), np.zeros(len(keys), dtype=np.int64)
        for number, file in enumerate(files):
            if len(file.keys):
                places = np.minimum(np.searchsorted(file.keys[:, 0], keys[:, 0]), len(file.keys) - 1)
                there = (file.keys[places] == keys).all(1)
                file_of[there], row_of[there] = number, places[there]
        return file_of, row_of, files

    def _files(self, folder: Path) -> dict[str, _File]:
        """Return the files of a setup by their names; one that is damaged, or gone meanwhile, is left out."""
        opened = self._open.setdefault(folder.name, {})
        names = sorted(path.name for path in folder.glob("*.npy"))
        for name in names:
            if name not in opened and (file := _File.read(folder / name)) is not None:
                opened[name] = file
        for name in opened.keys() - set(names):
            del opened[name]
        return opened

    def _write(self, folder: Path, keys: np.ndarray, encoded: list[Encoded], microseconds: int) -> None:
        """Put rows into a file of their own; with many files, join them to one."""
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        parts = [part for row in order for part in _parts(encoded[row])]
        facts = np.array([[encoded[row].context.bytes, microseconds] for row in order], dtype="<i4")
        _store(folder, keys[order], facts, parts)
        files = self._files(folder)
        if len(files) > MOST_FILES:
            joined, names = _join(list(files.values())), list(files)
            name = _store(folder, *joined)
            for other in names:
                if other != name:
                    (folder / other).unlink(missing_ok=True)


def _parts(row: Encoded) -> list[np.ndarray]:
    parts = (row.input_ids, row.targets, row.context.positions, row.context.prompt)
    return [np.asarray(part, dtype="<i4") for part in parts]


def _join(files: Sequence[_File]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the keys, the facts and the parts of the rows of several files, each once, sorted by their keys."""
    keys = np.concatenate([file.keys for file in files])
    owner = np.repeat(np.arange(len(files)), [len(file.keys) for file in files])
    index = np.concatenate([np.arange(len(file.keys)) for file in files])
    _, firsts = np.unique(keys, axis=0, return_index=True)  # sorted by the first half, then by the second
    parts, facts = list[np.ndarray](), list[np.ndarray]()
    for row in firsts.tolist():
        file, own_row = files[owner[row]], int(index[row])
        parts += file.parts(own_row)
        facts.append(np.asarray(file.facts[own_row]))
    return keys[firsts], np.stack(facts), parts


def _store(folder: Path, keys: np.ndarray, facts: np.ndarray, parts: list[np.ndarray]) -> str:
    """Write a file under another name and rename it; return its name, which follows from its rows."""
    ends = np.cumsum([len(part) for part in parts]).astype("<i8")
    head = np.array([len(keys), FORM], dtype="<i4")
    flat = np.concatenate([head, keys.reshape(-1).view("<i4"), facts.reshape(-1), ends.view("<i4"), *parts])
    name = f"{hashlib.blake2b(keys.tobytes(), digest_size=16).hexdigest()}.npy"
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f"{name}.{os.getpid()}.draft"
    with draft.open("wb") as file:
        np.save(file, flat)
    draft.replace(folder / name)
    return name


def _keys(rows: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Return a hash of what each row says, as two unsigned integers (rows, 2)."""
    cells = zip(*(rows[name].tolist() for name in columns), strict=True)
    digests = [hashlib.blake2b(_written(row).encode(errors="surrogatepass"), digest_size=16).digest() for row in cells]
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def _written(row: tuple[Any, ...]) -> str:
    return json.dumps(row, ensure_ascii=False, default=list)


def prune_tokens(folder: Path) -> None:
    """Empty a folder of token files that is larger than `MAX_BYTES`, and remove what killed processes began there."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    too_large = sum(path.stat().st_size for path in files) > MAX_BYTES
    for path in files:
        if too_large or path.suffix == ".draft":
            path.unlink(missing_ok=True)
