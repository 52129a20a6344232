"""Fingerprints of the rows in the stream: eight bytes each for a row's id, its content, its input, and its normal form.

A fingerprint is 64 bits of BLAKE2b: among a hundred million rows the chance of any collision is about one in four
thousand. The hashes never change: the same text falls into the same split on every machine.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cl.errors import StoreError
from cl.records import SPLITS, Experience
from cl.stores.data.experiences import Experiences
from cl.stores.data.tombstones import RemovalRecord, read_removals
from cl.stores.project_folder import ProjectFolder
from cl.tasks import Column, Schema, ValueKind, as_turns

BETWEEN_WORDS = "\x1f"
BETWEEN_COLUMNS = "\0"
MAPPED_ROWS = 1_000
"""Hashes of more rows are read from disk when they are needed; to map fewer costs more than to read them."""
FINAL_PUNCTUATION = ".,;:!?…。．、，；：！？।؟؛۔ "


@dataclass(frozen=True)
class Fingerprints:
    """Hashes of rows, in row order; an input is all that a model is given, without the answer.

    ``groups`` are hashes of the inputs' normal form (`normal_form`), or of those that the schema splits rows by: rows
    of one group lie in one split.
    """

    ids: np.ndarray
    contents: np.ndarray
    inputs: np.ndarray
    groups: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        """What is remembered of rows in the stream: an array of three columns, one row for each kind of hash."""
        return np.stack([self.ids, self.contents, self.inputs])


@dataclass
class KnownRows:
    """Hashes of the rows of all earlier experiences: one array per experience, read from disk as needed.

    ``describing`` are the experiences whose rows are descriptions of labels.
    """

    ids: list[np.ndarray] = field(default_factory=list)
    contents: list[np.ndarray] = field(default_factory=list)
    inputs: list[np.ndarray] = field(default_factory=list)
    experiences: list[str] = field(default_factory=list)
    removed: list[RemovalRecord] = field(default_factory=list)
    describing: set[str] = field(default_factory=set)

    @property
    def labelled_contents(self) -> list[np.ndarray]:
        """The contents of the rows that are no descriptions of labels."""
        return [own for id, own in zip(self.experiences, self.contents, strict=True) if id not in self.describing]

    def add(self, experience: str, kept: np.ndarray, *, describes_labels: bool = False) -> None:
        """Add the rows of an experience to the known ones."""
        self.experiences.append(experience)
        self.describing |= {experience} if describes_labels else set()
        for hashes, column in zip((self.ids, self.contents, self.inputs), kept, strict=True):
            hashes.append(column)

    def drop(self, experience: str) -> None:
        """Remove the rows of an experience from the known ones."""
        index = self.experiences.index(experience)
        for values in (self.experiences, self.ids, self.contents, self.inputs):
            del values[index]


def fingerprints(rows: pd.DataFrame, schema: Schema) -> Fingerprints:
    """Return the hashes of canonical rows."""
    inputs = input_columns(rows, schema)
    grouped = inputs if schema.grouping == schema.inputs else _joined(rows, schema.grouping)
    return Fingerprints(
        ids=hash_texts(rows["id"]),
        contents=hash_texts(content_columns(rows, schema)),
        inputs=hash_texts(inputs),
        groups=hash_texts(map(normal_form, grouped)),
    )


def concatenate(parts: Sequence[Fingerprints]) -> Fingerprints:
    """Return the hashes of several chunks, concatenated."""
    empty = np.empty(0, dtype=np.uint64)
    return Fingerprints(
        ids=np.concatenate([empty, *(part.ids for part in parts)]),
        contents=np.concatenate([empty, *(part.contents for part in parts)]),
        inputs=np.concatenate([empty, *(part.inputs for part in parts)]),
        groups=np.concatenate([empty, *(part.groups for part in parts)]),
    )


def normal_form(text: str) -> str:
    """Return a text without case, differences of Unicode form, superfluous blanks and final punctuation.

    >>> normal_form("  Where is\tmy Parcel?! "), normal_form("?!")
    ('where is my parcel', '?!')
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    folded = " ".join(text.casefold().split())
    return folded.rstrip(FINAL_PUNCTUATION) or folded


def input_columns(rows: pd.DataFrame, schema: Schema) -> list[str]:
    """Return the model's input as one string per row."""
    return _joined(rows, schema.inputs)


def content_columns(rows: pd.DataFrame, schema: Schema) -> list[str]:
    """Return input, answer and what else the schema has as one string per row."""
    return _joined(rows, schema.columns)


def _joined(rows: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Return the canonical texts of some columns, joined, for each row; a column that the rows lack is missing."""
    missing = pd.Series([None] * len(rows), index=rows.index, dtype=object)
    texts = [_texts(column, rows.get(column.name, missing).tolist()) for column in columns]
    return texts[0] if len(texts) == 1 else list(map(BETWEEN_COLUMNS.join, zip(*texts, strict=True)))


def _texts(column: Column, values: list[Any]) -> list[str]:
    write = CANONICAL[column.kind]
    if write is not None:
        return list(map(write, values))
    return [value or "" for value in values] if column.optional else values


def _as_json(value: Any) -> str:
    return json.dumps(None if value is None else [_plain(part) for part in value], ensure_ascii=False)


def _as_sorted_json(value: Any) -> str:
    return json.dumps(None if value is None else sorted(set(value)), ensure_ascii=False)


def _turns_as_json(value: Any) -> str:
    return json.dumps(None if value is None else as_turns(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else int(value)


CANONICAL: dict[ValueKind, Callable[[Any], str] | None] = {
    ValueKind.TEXT: None,
    ValueKind.LABEL: None,
    ValueKind.WORDS: BETWEEN_WORDS.join,
    ValueKind.TAGS: BETWEEN_WORDS.join,
    ValueKind.LABELS: _as_sorted_json,
    ValueKind.SPAN: _as_json,
    ValueKind.TEXTS: _as_json,
    ValueKind.NUMBERS: _as_json,
    ValueKind.MESSAGES: _turns_as_json,
}
"""How a value is written to be hashed, by its kind; None: it is a text already. Equal values are written alike."""


def hash_texts(texts: Iterable[str]) -> np.ndarray:
    """Return eight bytes of BLAKE2b for each text, as unsigned integers."""
    blake2b = hashlib.blake2b
    digests = [blake2b(text.encode("utf-8"), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype=np.dtype("<u8"))


def pair_hashes(ids: np.ndarray, contents: np.ndarray) -> np.ndarray:
    """Return one hash of two, which depends on their order; unsigned integers wrap around."""
    pairs: np.ndarray = ids * np.uint64(0x9E3779B97F4A7C15) + contents
    return pairs


def is_known(values: np.ndarray, known: Sequence[np.ndarray]) -> np.ndarray:
    """Return which values occur in any of the known arrays; only one of them is in memory at a time.

    >>> is_known(np.array([3, 1, 2]), [np.array([1, 5]), np.array([2])]).tolist()
    [False, True, True]
    """
    ordered = np.sort(values)
    matches = [np.empty(0, dtype=values.dtype)]
    for past in known if len(ordered) else []:
        indices = np.minimum(np.searchsorted(ordered, past), len(ordered) - 1)
        matches.append(np.unique(past[ordered[indices] == past]))
    return np.isin(values, np.concatenate(matches))


def load_known(project: ProjectFolder, schema: Schema) -> KnownRows:
    """Return the hashes of all rows of the stream; hashes not cached on this machine are computed from data/."""
    known = KnownRows(removed=read_removals(project))
    for experience in Experiences(project).all():
        remember_fingerprints(project, experience, known, schema)
    return known


def read_known_ids(project: ProjectFolder) -> list[np.ndarray]:
    """Return the hashes of the ids of all rows, an array for each experience, and write nothing.

    Raises:
        StoreError: an experience is damaged.
    """
    store, ids = Experiences(project), list[np.ndarray]()
    for experience in store.all():
        path = _cache_file(project, experience)
        cached = _load_whole(path, experience)
        ids.append(hash_texts(store.column(experience.id, "id")["id"]) if cached is None else cached[0])
    return ids


def remember_fingerprints(
    project: ProjectFolder,
    experience: Experience,
    known: KnownRows,
    schema: Schema,
    *,
    kept: np.ndarray | None = None,
) -> None:
    """Add an experience's rows to the known ones, and cache their hashes on this machine.

    Args:
        project: where the experience lies.
        experience: one that is published.
        known: the rows so far.
        schema: of its rows.
        kept: `Fingerprints.kept` of its rows; None: it is computed, unless it is cached.
    """
    path = _cache_file(project, experience)
    cached = _load_whole(path, experience)
    if cached is None:
        _write(path, _compute(project, experience, schema).kept if kept is None else kept)
        cached = np.load(path, mmap_mode="r")
    known.add(experience.id, cached, describes_labels=experience.describes_labels)


def _cache_file(project: ProjectFolder, experience: Experience) -> Path:
    return project.work / "known" / f"{experience.id}-{experience.digest[:16]}.npy"


def _load_whole(path: Path, experience: Experience) -> np.ndarray | None:
    """Return the cached hashes of an experience's rows, those of many rows on disk; None: they are not there, whole."""
    try:
        kept: np.ndarray = np.load(path, mmap_mode="r" if experience.total > MAPPED_ROWS else None)
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept.shape == (3, experience.total) and kept.dtype == np.uint64 else None


def _write(path: Path, kept: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        np.save(file, kept)
    draft.replace(path)


def _compute(project: ProjectFolder, experience: Experience, schema: Schema) -> Fingerprints:
    parts = []
    for split in SPLITS:
        path = project.experiences / experience.id / f"{split}.parquet"
        try:
            with pq.ParquetFile(path) as file:
                parts += [fingerprints(batch.to_pandas(), schema) for batch in file.iter_batches(batch_size=50_000)]
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    return concatenate(parts)
