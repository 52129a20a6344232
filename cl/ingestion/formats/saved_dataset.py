"""Hugging Face data sets as `save_to_disk` leaves them: folders of Arrow streams, read without the library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cl.errors import SourceError
from cl.heavy import pd
from cl.ingestion.formats.arrow import arrow_chunks
from cl.ingestion.formats.class_names import names_of_features
from cl.ingestion.values import describe_error, readable_path

STATE, INFO, SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


def is_saved_dataset(folder: Path) -> bool:
    """Return whether a folder holds a data set, or one of its splits."""
    return folder.is_dir() and any((folder / name).is_file() for name in (STATE, SPLITS))


def saved_splits(folder: Path) -> list[Path]:
    """Return the folders of a data set's splits, named for them; the folder itself for a data set without splits.

    Raises:
        SourceError: its description is damaged, or names a split that is not there.
    """
    if not (folder / SPLITS).is_file():
        return [folder]
    splits = _read(folder / SPLITS).get("splits")
    if not isinstance(splits, list) or not all(
        isinstance(name, str) and (folder / name / STATE).is_file() for name in splits
    ):
        raise SourceError(f"{readable_path(folder)}: {SPLITS} names splits that are not there; save the data set again")
    return [folder / name for name in splits]


def saved_files(folder: Path) -> list[Path]:
    """Return the files of a split in their order.

    Raises:
        SourceError: its description is damaged, or its rows are chosen by a list of indices.
    """
    state = _read(folder / STATE)
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise SourceError(
            f"{readable_path(folder)}: holds its rows by a list of indices; call flatten_indices() and save it again"
        )
    entries = state.get("_data_files") or []
    names = [str(entry.get("filename")) for entry in entries if isinstance(entry, dict)]
    if not names or any(Path(name).name != name for name in names):
        raise SourceError(f"{readable_path(folder)}: {STATE} names no data files; save the data set again")
    return [folder / name for name in names]


def saved_chunks(folder: Path, chunk_rows: int) -> Iterator[pd.DataFrame]:
    """Yield the rows of a split in chunks, with the names of its classes.

    Raises:
        SourceError: a file is missing or damaged, or the split has no rows.
    """
    info = _read(folder / INFO) if (folder / INFO).is_file() else {}
    names = names_of_features(info.get("features"))
    for path in saved_files(folder):
        yield from arrow_chunks(path, chunk_rows, names, may_be_empty=True)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{readable_path(path)}: cannot be read: {describe_error(error)}") from None
    return content if isinstance(content, dict) else {}
