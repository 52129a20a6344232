"""However little a file holds on disk, its rows fit into memory: long rows are quarantined, what unpacks is refused."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cl.errors import SourceError
from cl.ingestion import bounds
from cl.ingestion.bounds import CHUNK_CHARS, CHUNK_VALUES, COLUMNS, ROW_CHARS, SHOWN, TOO_LONG, UNPACKED
from cl.ingestion.file_formats import read_chunks
from cl.ingestion.formats import delimited
from cl.ingestion.internal_columns import UNREADABLE, UnreadableRow

HEADER = b"id,text,label\n"
BLOCK = b"a" * 1_000_000


def write(path: Path, parts: list[bytes]) -> Path:
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        file.writelines(parts)
    return path


def record(id: str, text: bytes = b"hello there") -> list[bytes]:
    return [b'{"id":"', id.encode(), b'","label":"a","text":"', text, b'"}\n']


def frame_of(path: Path, chunk_rows: int = 50_000) -> pd.DataFrame:
    return pd.concat(read_chunks(path, chunk_rows), ignore_index=True)


def too_long_rows(frame: pd.DataFrame) -> dict[int, UnreadableRow]:
    return {index: row for index, row in frame[UNREADABLE].items() if row is not None}


LONG = BLOCK * (ROW_CHARS // len(BLOCK) + 2)
LONG_ROWS: dict[str, list[bytes]] = {
    "x.jsonl": [*record("1"), *record("2", LONG), *record("3")],
    "x.jsonl.gz": [*record("1"), *record("2", LONG), *record("3")],
    "x.ndjson.gz": [*record("1"), LONG, b"\r\n", *record("3")],
    "x.csv": [HEADER, b"1,hello there,a\n", b"2,", LONG, b",a\n", b"3,hello there,a\n"],
    "x.csv.gz": [HEADER, b"1,hello there,a\n", b'2,"', LONG, b'",a\r\n', b"3,hello there,a\n"],
}


@pytest.mark.parametrize("name", LONG_ROWS)
def test_a_row_that_is_too_long_is_set_aside_with_its_beginning_and_costs_no_other(tmp_path, name, caplog) -> None:
    frame = frame_of(write(tmp_path / name, LONG_ROWS[name]))
    assert frame["id"].tolist() == ["1", None, "3"]
    assert {index: (row.reason, len(row.line)) for index, row in too_long_rows(frame).items()} == {1: (TOO_LONG, SHOWN)}
    (said,) = [message for message in caplog.messages if "longer than" in message]
    assert name in said and f"{ROW_CHARS:,}" in said and "shorten or split" in said and "\n" not in said


def test_the_lines_of_a_csv_row_count_together(tmp_path) -> None:
    lines = b'"%s\n",' % (b"a" * 100_000) * (ROW_CHARS // 100_000 + 2)
    frame = frame_of(write(tmp_path / "x.csv", [HEADER, lines, b"a\n", b"2,hello there,a\n"]))
    assert TOO_LONG in {row.reason for row in too_long_rows(frame).values()}
    assert frame["id"].iloc[-1] == "2"


def test_a_parquet_row_that_is_too_long_is_empty_where_it_was(tmp_path) -> None:
    rows = {"id": ["1", "2", "3"], "text": ["one", LONG.decode(), "three"], "more": [["x"], None, ["y", "z"]]}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    frame = frame_of(tmp_path / "x.parquet")
    assert frame["id"].tolist() == ["1", None, "3"] and frame["text"].tolist() == ["one", None, "three"]
    assert {index: row.reason for index, row in too_long_rows(frame).items()} == {1: TOO_LONG}


def test_a_header_that_never_ends_is_refused(tmp_path) -> None:
    with pytest.raises(SourceError, match=r"x\.csv: the header is longer than [0-9,]+ characters"):
        frame_of(write(tmp_path / "x.csv", [LONG]))


def wide_parquet(path: Path) -> None:
    names = [f"c{number}" for number in range(COLUMNS + 1)]
    pq.write_table(pa.table({"x": pa.array([dict.fromkeys(names, 1)])}), path)


WIDE: dict[str, Callable[[Path], object]] = {
    "x.csv": lambda path: write(path, [b",".join(b"c%d" % number for number in range(COLUMNS + 1)), b"\n1\n"]),
    "x.jsonl": lambda path: write(path, [b'{"c%d":1}\n' % number for number in range(COLUMNS + 1)]),
    "x.parquet": wide_parquet,
}


@pytest.mark.parametrize("name", WIDE)
def test_too_many_columns_are_refused(tmp_path, name) -> None:
    WIDE[name](tmp_path / name)
    with pytest.raises(SourceError, match=rf"{name}: has more than [0-9,]+ columns; leave out"):
        frame_of(tmp_path / name)


def dictionary(values: int, text: str) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(values, dtype=np.int32)), pa.array([text]))


def rows_with(column: pa.Array) -> pa.Table:
    return pa.table({"id": [str(row) for row in range(len(column))], "text": column})


def prefixed(path: Path) -> None:
    texts = pa.array(["a" * 200_000 + str(row) for row in range(500)])
    encodings = {"id": "PLAIN", "text": "DELTA_BYTE_ARRAY"}
    pq.write_table(rows_with(texts), path, use_dictionary=False, column_encoding=encodings, compression="none")


def lists(path: Path) -> None:
    words = dictionary(400_000, "a" * 5_000)
    pq.write_table(rows_with(pa.ListArray.from_arrays(np.arange(0, 400_001, 400, dtype=np.int32), words)), path)


BOMBS: dict[str, Callable[[Path], object]] = {
    "line.jsonl.gz": lambda path: write(path, [*record("1", BLOCK * 300)]),
    "line.csv.gz": lambda path: write(path, [HEADER, BLOCK * 300]),
    "fields.csv.gz": lambda path: write(path, [HEADER, b"a," * 100_000_000]),
    "quotes.csv.gz": lambda path: write(path, [HEADER, b'"%s\n",' % BLOCK[:100_000] * 2_000]),
    "lists.ndjson.gz": lambda path: write(path, [(b'{"x":[' + b"[]," * 9_000 + b"[]]}\n") * 200, b" " * 80_000_000]),
    "value.parquet": lambda path: pq.write_table(rows_with(pa.array(["a" * 100_000_000])), path, compression="zstd"),
    "dictionary.parquet": lambda path: pq.write_table(rows_with(dictionary(20_000, "a" * 100_000)), path),
    "lists.parquet": lists,
    "prefixes.parquet": prefixed,
    "nulls.parquet": lambda path: pq.write_table(pa.table({"text": pa.nulls(60_000_000, pa.string())}), path),
}
"""Files of less than a megabyte that unpack to hundreds."""

READ = """
import resource, sys
from pathlib import Path
from cl.errors import SourceError
from cl.ingestion.file_formats import read_chunks

for path in map(Path, sys.argv[1:]):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        print("read", sum(len(chunk) for chunk in read_chunks(path, 50_000)))
    except SourceError as error:
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, error)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_what_unpacks_to_far_more_than_its_size_is_refused_and_takes_little_memory(tmp_path, name) -> None:
    BOMBS[name](tmp_path / name)
    assert (tmp_path / name).stat().st_size < 2_000_000
    done = subprocess.run([sys.executable, "-c", READ, tmp_path / name], capture_output=True, text=True, check=False)
    megabytes, _, says = done.stdout.strip().partition(" ")
    assert f"{name}: unpacks to more than 200 times its" in says and "as plain CSV or JSON lines" in says, done
    assert int(megabytes) < 500


def test_rows_that_repeat_themselves_are_read_as_long_as_they_fit(tmp_path) -> None:
    line = b'{"id":"1","text":"the same row again and again","label":"a"}\n'
    lines = UNPACKED // len(line) // 50
    path = write(tmp_path / "x.jsonl.gz", [line * lines])
    assert path.stat().st_size * 150 < len(line) * lines
    assert len(frame_of(path)) == lines


def test_a_chunk_ends_before_its_values_fill_the_memory(tmp_path) -> None:
    write(tmp_path / "sparse.jsonl", [b'{"c%d":1}\n' % (number % 900) for number in range(6_000)])
    write(tmp_path / "nested.jsonl", [(b'{"x":[' + b"[]," * 3_000 + b"[]]}\n") * 1_500])
    write(
        tmp_path / "wide.csv",
        [b",".join(b"c%d" % number for number in range(900)), b"\n", (b"," * 899 + b"\n") * 6_000],
    )
    pq.write_table(rows_with(dictionary(500, "a" * 100_000)), tmp_path / "repeated.parquet")
    for name in ("sparse.jsonl", "nested.jsonl", "wide.csv", "repeated.parquet"):
        chunks = list(read_chunks(tmp_path / name, 50_000))
        assert len(chunks) >= 2, name
        for chunk in chunks:
            assert chunk.size <= CHUNK_VALUES + len(chunk.columns)
            if name == "repeated.parquet":
                assert chunk["text"].map(len).sum() <= CHUNK_CHARS


def test_small_row_groups_of_a_parquet_file_are_joined_to_chunks(tmp_path) -> None:
    rows = {"id": [str(row) for row in range(1_000)], "tokens": [["a", str(row)] for row in range(1_000)]}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet", row_group_size=7)
    chunks = list(read_chunks(tmp_path / "x.parquet", 100))
    assert [len(chunk) for chunk in chunks][:-1] == [98] * 10
    frame = pd.concat(chunks, ignore_index=True)
    assert frame["id"].tolist() == rows["id"] and [list(words) for words in frame["tokens"]] == rows["tokens"]


def test_a_json_line_of_ordinary_length_is_read_whole(tmp_path) -> None:
    text = "a" * (ROW_CHARS // 2)
    write(tmp_path / "x.jsonl", [json.dumps({"id": "1", "text": text}).encode(), b"\n"])
    assert frame_of(tmp_path / "x.jsonl")["text"].tolist() == [text]


GOOD = ["{n},hello,a", '{n},"two\nlines, and ""quotes""",b', '{n},it is 5" wide,b', ""]
BROKEN = ["{n},hello", '{n},"never closed,a', f"{{n}},{'long' * 200},a"]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("lines", [GOOD, GOOD + BROKEN], ids=["good", "broken"])
def test_how_many_lines_are_read_at_a_time_changes_no_row(tmp_path, monkeypatch, end, lines, seed) -> None:
    monkeypatch.setattr(bounds, "ROW_CHARS", 400)
    monkeypatch.setattr(delimited, "ROW_CHARS", 400)
    drawn = [*random.Random(seed).choices(lines, k=200), GOOD[0]]
    text = "\n".join(["id,text,label", *(line.format(n=number) for number, line in enumerate(drawn)), ""])
    path = tmp_path / "x.csv"
    path.write_text(text.replace("\n", end), newline="")
    readings = []
    for size, chunk_rows in [(1, 1), (1, 50), (50, 7), (700, 50), (1 << 17, 50), (1 << 17, 1000)]:
        monkeypatch.setattr(bounds, "BUFFER", size)
        rows = frame_of(path, chunk_rows)
        readings.append(rows.astype(object).where(rows.notna(), None).to_dict("records"))
    for rows in readings[1:]:
        assert rows == readings[0]
    assert [row["id"] for row in readings[0] if row["id"]] == [
        str(n) for n, line in enumerate(drawn) if line in GOOD[:3]
    ]
    assert sum(row["id"] is None for row in readings[0]) >= sum(line in BROKEN for line in drawn)
