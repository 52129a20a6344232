from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import make_url

from cl.errors import SourceError
from cl.ingestion.sources.sql import Sql, format_url


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "rows.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table messages (id integer, text text, label text)")
        rows = [(n, f"at 12:{n:02d} I paid 5%", "a" if n % 2 else None) for n in range(7)]
        connection.executemany("insert into messages values (?, ?, ?)", rows)
    connection.close()
    return path


def chunks(root: Path, *, url: str = "sqlite:///rows.db", query: str = "select * from messages") -> list[pd.DataFrame]:
    (batch,) = Sql(url=url, query=query).batches(root, chunk_rows=3)
    return list(batch.chunks)


def test_rows_stream_in_chunks_with_their_values(database) -> None:
    found = chunks(database.parent)
    assert [len(chunk) for chunk in found] == [3, 3, 1]
    assert found[0]["id"].tolist() == [0, 1, 2] and found[0]["label"].tolist() == [None, "a", None]


def test_colons_and_percent_signs_of_a_query_are_its_own(database) -> None:
    (found,) = chunks(database.parent, query="select id from messages where text like 'at 12:03%' or text = ' :x'")
    assert found["id"].tolist() == [3]


def test_the_url_may_come_from_the_environment(database, monkeypatch) -> None:
    monkeypatch.setenv("ROWS_URL", f"sqlite:///{database}")
    assert sum(map(len, chunks(database.parent, url="env:ROWS_URL"))) == 7


def test_the_batch_has_its_name_and_an_origin_without_credentials(tmp_path) -> None:
    url = "postgresql://anna:s3cret@db.example:5432/rows?password=other"
    assert format_url(make_url(url)) == "postgresql://db.example:5432/rows"
    (batch,) = Sql(url=url, query="select 1", batch="nightly").batches(tmp_path, chunk_rows=3)
    assert (batch.name, batch.origin) == ("nightly", "postgresql://db.example:5432/rows")


def test_a_query_without_rows_gives_no_chunk(database) -> None:
    assert chunks(database.parent, query="select * from messages where id > 99") == []


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("select * from nowhere", "no such table: nowhere"),
        ("selec", "syntax error"),
        ("delete from messages", "must be a SELECT"),
        ("select id, id from messages", "a column twice: id"),
    ],
)
def test_a_wrong_query_is_one_line_and_changes_nothing(database, query, says) -> None:
    with pytest.raises(SourceError, match=says) as error:
        chunks(database.parent, query=query)
    assert "\n" not in str(error.value)
    assert sum(map(len, chunks(database.parent))) == 7


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("env:NOT_SET_ANYWHERE", "NOT_SET_ANYWHERE is not set"),
        ("s3cret", "not a SQLAlchemy URL"),
        ("postgresql://anna:s3cret@host:port/rows", "not a SQLAlchemy URL"),
        ("nonsense://anna:s3cret@host/rows", "nonsense"),
        ("sqlite:///absent.db", "no such database"),
    ],
)
def test_a_wrong_url_is_one_line_without_the_password(tmp_path, url, says) -> None:
    with pytest.raises(SourceError, match=says) as error:
        chunks(tmp_path, url=url)
    assert "s3cret" not in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "absent.db").exists()


def test_a_missing_driver_is_named(tmp_path) -> None:
    with pytest.raises(SourceError, match=r"needs the package .cx_Oracle., not installed here") as error:
        chunks(tmp_path, url="oracle+cx_oracle://anna:s3cret@127.0.0.1:9/rows")
    assert "s3cret" not in str(error.value)


def test_a_file_that_is_no_database_is_refused(tmp_path) -> None:
    (tmp_path / "rows.db").write_text("not a database, but long enough to be looked at" * 50)
    with pytest.raises(SourceError, match="not a database"):
        chunks(tmp_path)
