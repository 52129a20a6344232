from __future__ import annotations

import sqlite3

import pytest

from cl.stores.sqlite_cache import SqliteCachedRead


@pytest.fixture
def database(tmp_path):
    """A database that another connection writes to."""
    path = tmp_path / "registry of mine?.db"
    with_table(path)
    return path


def with_table(path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alias (version TEXT)")
        connection.execute("INSERT INTO alias VALUES ('1')")
    connection.close()


def written(path, version: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alias SET version = ?", [version])
    connection.close()


class Reader:
    """Reads the version, and counts how often."""

    def __init__(self, path) -> None:
        self.path, self.reads = path, 0

    def __call__(self) -> str:
        self.reads += 1
        connection = sqlite3.connect(self.path)
        try:
            return connection.execute("SELECT version FROM alias").fetchone()[0]
        finally:
            connection.close()


def test_it_reads_once_until_another_connection_writes(database) -> None:
    reader = Reader(database)
    version = SqliteCachedRead(f"sqlite:///{database}", reader)
    assert [version() for _ in range(5)] == ["1"] * 5
    assert reader.reads == 1
    for after in ("2", "3", "2"):
        written(database, after)
        assert [version(), version()] == [after] * 2
    assert reader.reads == 4


def test_what_is_written_while_it_reads_shows_at_the_next_call(database) -> None:
    reader = Reader(database)

    def read() -> str:
        found = reader()
        if reader.reads == 1:
            written(database, "2")
        return found

    version = SqliteCachedRead(f"sqlite:///{database}", read)
    assert [version(), version(), version()] == ["1", "2", "2"]
    assert reader.reads == 2


def test_a_database_in_write_ahead_mode_is_seen_too(database) -> None:
    writer = sqlite3.connect(database)
    writer.execute("PRAGMA journal_mode = WAL")
    version = SqliteCachedRead(f"sqlite:///{database}", Reader(database))
    assert version() == "1"
    with writer:
        writer.execute("UPDATE alias SET version = '2'")
    assert version() == "2"
    writer.close()


def test_a_database_that_is_replaced_is_read_again(database, tmp_path) -> None:
    version = SqliteCachedRead(f"sqlite:///{database}", Reader(database))
    assert version() == "1"
    with_table(tmp_path / "restored.db")
    written(tmp_path / "restored.db", "7")
    (tmp_path / "restored.db").replace(database)
    assert version() == "7"


def test_a_database_that_is_gone_or_locked_is_for_the_reader_to_tell_of(database) -> None:
    reader = Reader(database)
    version = SqliteCachedRead(f"sqlite:///{database}", reader)
    assert version() == "1"
    locking = sqlite3.connect(database, isolation_level=None)
    locking.execute("BEGIN EXCLUSIVE")
    reader.path = None  # would be refused: what it was given last is not good enough
    with pytest.raises(TypeError):
        version()
    locking.close()
    reader.path = database
    assert version() == "1"
    database.unlink()
    reader.path = database.parent
    with pytest.raises(sqlite3.OperationalError):
        version()


def test_another_kind_of_registry_is_read_each_time(database) -> None:
    reader = Reader(database)
    version = SqliteCachedRead("http://127.0.0.1:5000", reader)
    assert [version(), version()] == ["1", "1"]
    assert reader.reads == 2
