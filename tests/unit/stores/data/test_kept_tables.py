"""Tables of small files are read once, as long as the files stay as they are."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cl.stores.data import kept_tables
from cl.stores.data.kept_tables import KeptTables


@pytest.fixture
def read():
    """Return a function that reads a file, and notes that it did."""
    calls = list[Path]()

    def read_noting(path: Path) -> pa.Table:
        calls.append(path)
        return pq.read_table(path)

    return read_noting, calls


def write(path: Path, *values: int) -> Path:
    draft = path.with_suffix(".new")
    pq.write_table(pa.table({"value": values}), draft)
    return draft.replace(path)


def test_an_unchanged_file_is_read_once_and_a_changed_one_again(tmp_path, read) -> None:
    reader, calls = read
    tables, path = KeptTables(), write(tmp_path / "rows.parquet", 1, 2)
    assert [tables.read(path, reader)["value"].to_pylist() for _ in range(2)] == [[1, 2]] * 2
    assert calls == [path]
    write(path, 3, 4)
    assert tables.read(path, reader)["value"].to_pylist() == [3, 4]


def test_tables_that_were_not_read_for_longest_make_room(tmp_path, read) -> None:
    reader, calls = read
    paths = [write(tmp_path / f"{number}.parquet", number) for number in range(3)]
    tables = KeptTables(most=2 * pq.read_table(paths[0]).nbytes)
    for path in (paths[0], paths[1], paths[0], paths[2], paths[0], paths[1]):
        tables.read(path, reader)
    assert calls == [paths[0], paths[1], paths[2], paths[1]]


def test_large_files_are_not_kept(tmp_path, read, monkeypatch) -> None:
    monkeypatch.setattr(kept_tables, "SMALL_BYTES", 10)
    reader, calls = read
    tables, path = KeptTables(), write(tmp_path / "rows.parquet", 1)
    tables.read(path, reader)
    tables.read(path, reader)
    assert len(calls) == 2


def test_a_file_that_is_gone_is_not_answered_from_memory(tmp_path, read) -> None:
    tables, path = KeptTables(), write(tmp_path / "rows.parquet", 1)
    tables.read(path, read[0])
    path.unlink()
    with pytest.raises(FileNotFoundError):
        tables.read(path, read[0])
