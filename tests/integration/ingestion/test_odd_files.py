"""Files that no reader expects: each is left out in one line that names it, or read, and no other file waits for it."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cl.config import parse
from cl.errors import SourceError
from cl.ingestion.ingest import ingest_settled
from cl.ingestion.sources import InputBatch, Source, Stamp
from cl.ingestion.sources.files import Files
from cl.records import Experience
from cl.stores.data.rejected_batches import RejectedBatch, read_rejected
from cl.stores.project_folder import ProjectFolder

ROWS: dict[str, Any] = {"id": ["1", "2"], "text": ["pay a loan", "open a box"], "label": ["loan", "box"]}
CSV = b"id,text,label\n1,pay a loan,loan\n2,open a box,box\n"
LINES = b'{"id":"1","text":"pay a loan","label":"loan"}\n{"id":"2","text":"open a box","label":"box"}\n'
GOOD = ("0-before.csv", "zz-after.csv")


def with_column(values: pa.Array) -> pa.Table:
    return pa.table({**ROWS, "day": values})


def nested(depth: int) -> bytes:
    return LINES + b'{"id":"3","text":"a card","label":"card","more":' + b"[" * depth + b"]" * depth + b"}\n"


def noted(note: str | bytes) -> pa.Table:
    return pa.table(ROWS).replace_schema_metadata({"pandas": note})


Content: TypeAlias = bytes | pa.Table

READ: dict[str, tuple[bytes, Content, int]] = {
    "unknown time zone": (b"a.parquet", with_column(pa.array([0, 1], pa.timestamp("us", "Mars/Olympus"))), 2),
    "day after the year 9999": (b"a.parquet", with_column(pa.array([2**31 - 1, 5], pa.date32())), 2),
    "time after the year 9999": (b"a.parquet", with_column(pa.array([2**62, 5], pa.date64())), 2),
    "such days in lists": (b"a.parquet", with_column(pa.array([[2**31 - 1], [1]], pa.list_(pa.date32()))), 2),
    "view": (b"a.parquet", with_column(pa.array(["x", "y"], pa.string_view())), 2),
    "map": (b"a.parquet", with_column(pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string()))), 2),
    "damaged note of pandas": (b"a.parquet", noted("{no"), 2),
    "note of pandas that is no object": (b"a.parquet", noted("[]"), 2),
    "note of pandas about another table": (b"a.parquet", noted(json.dumps({"index_columns": ["x"], "columns": []})), 2),
    "name that is not UTF-8": (b"caf\xe9.csv", CSV, 2),
    "name with a line break": (b"a\nb.jsonl", LINES, 2),
    "key that is not UTF-8": (
        b"a.jsonl",
        b'{"id":"1","text":"","label":"a","\\ud800":{"\\ud800":"\\ud800"}}\n' + LINES,
        2,
    ),
    "deep nesting": (b"a.jsonl", nested(900), 3),
    "nesting that is too deep": (b"a.jsonl", nested(100_000), 2),
    "number of 5,000 digits": (b"a.jsonl", LINES + b'{"id":' + b"1" * 5_000 + b',"text":"a card","label":"card"}\n', 2),
}
"""Odd files that can be read: their name, content, and good rows."""

LEFT_OUT: dict[str, tuple[bytes, Content]] = {
    "two columns of one name": (
        b"a.parquet",
        pa.Table.from_arrays([pa.array(["x"])] * 4, names=["id", "id", "text", "label"]),
    ),
    "no columns": (b"a.parquet", pa.table({"id": []}).drop_columns("id")),
    "cut Parquet file": (b"a.parquet", b"PAR1 and no more"),
    "cut gzip file": (b"a.csv.gz", gzip.compress(CSV * 50)[:-9]),
    "empty file with a name that is not UTF-8": (b"caf\xe9.csv", b""),
    "missing column and a name with a line break": (b"a\nb.csv", CSV.replace(b"label", b"answer")),
    "hundreds of columns": (b"a.csv", ",".join(f"column-{number}" for number in range(900)).encode() + b"\n1\n"),
    "name of a column of 100,000 characters": (b"a.jsonl", b'{"id":"1","' + b"x" * 100_000 + b'":1}\n'),
    "nothing but zeros": (b"a.csv", bytes(1_000)),
}


def write(inbox: Path, name: bytes, content: Content) -> None:
    path = inbox / os.fsdecode(name)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pq.write_table(content, path)


def unattended(root: Path, files: dict[bytes, Content]) -> tuple[list[Experience], list[RejectedBatch]]:
    """Return what unattended ingestion makes of an inbox with these files and two good ones, and what it leaves out."""
    inbox = root / "inbox"
    inbox.mkdir()
    for name, content in files.items():
        write(inbox, name, content)
    for good in GOOD:
        rows = [(f"{good}{number}", f"{good} row {number}", "fee") for number in range(5)]
        pd.DataFrame(rows, columns=list(ROWS)).to_csv(inbox / good, index=False)
    project = ProjectFolder(root)
    made = ingest_settled(parse({}, where="test"), project, Files(path="inbox"), settle=0)
    return made, read_rejected(project)


def assert_the_good_are_there(made: list[Experience]) -> None:
    assert {experience.source: experience.total for experience in made}.items() >= {
        f"inbox/{x}": 5 for x in GOOD
    }.items()


def assert_one_line(rejected: RejectedBatch, name: str) -> None:
    assert name in rejected.why and name in rejected.origin
    assert rejected.why.isprintable() and len(rejected.why) <= 1_000, rejected.why


def escaped(name: bytes) -> str:
    return os.fsdecode(name).replace("\n", "\\n").replace("\udce9", "\\udce9")


@pytest.mark.parametrize("kind", READ)
def test_an_odd_file_that_can_be_read_is_read(tmp_path, kind) -> None:
    name, content, rows = READ[kind]
    made, rejected = unattended(tmp_path, {name: content})
    assert_the_good_are_there(made)
    (odd,) = (experience for experience in made if experience.source == "inbox/" + escaped(name))
    assert odd.total == rows and rejected == []


@pytest.mark.parametrize("kind", LEFT_OUT)
def test_an_odd_file_that_cannot_be_read_is_left_out_in_one_line(tmp_path, kind) -> None:
    name, content = LEFT_OUT[kind]
    made, rejected = unattended(tmp_path, {name: content})
    assert_the_good_are_there(made)
    (left_out,) = rejected
    assert_one_line(left_out, escaped(name))


def test_an_unknown_time_zone_is_read_as_utc_and_a_day_that_python_does_not_have_is_missing(tmp_path) -> None:
    times = pa.array([0, 1_700_000_000_000_000], pa.timestamp("us", "Mars/Olympus"))
    for name, days in (("zone", times), ("late", pa.array([2**31 - 1, 19_675], pa.date32()))):
        pq.write_table(with_column(days), tmp_path / f"{name}.parquet")
    config = parse({"data": {"date": "day", "period": "year"}}, where="test")
    made = {
        name: ingest_settled(
            config, ProjectFolder(tmp_path / name), Files(path=str(tmp_path / f"{name}.parquet")), settle=0
        )
        for name in ("zone", "late")
    }
    assert [experience.name for experience in made["zone"]] == ["1970", "2023"]
    (late,) = made["late"]
    assert (late.name, late.total, late.quarantined) == ("2023", 1, {"missing or unreadable date": 1})


class Faulty(Source):
    """A source whose second batch fails with an error of any type."""

    kind: str

    def stamp(self, root: Path) -> Stamp:
        return Stamp("now", 0.0)

    def batches(self, root: Path, *, chunk_rows: int) -> Iterator[InputBatch]:
        for number, name in enumerate(("first", "second", "third")):
            rows = pd.DataFrame({key: [f"{name} {value}" for value in values] for key, values in ROWS.items()})
            yield InputBatch(name, name, self._chunks(rows, fails=number == 1), stamp=name)

    def _chunks(self, rows: pd.DataFrame, *, fails: bool) -> Iterator[pd.DataFrame]:
        yield rows
        if fails:
            raise ERRORS[self.kind]()


ERRORS: dict[str, Callable[[], Exception]] = {
    "KeyError": lambda: KeyError("x"),
    "MemoryError": MemoryError,
    "RecursionError": RecursionError,
    "OSError": lambda: OSError(5, "Input/output error"),
    "AssertionError": AssertionError,
    "an error of many lines": lambda: ValueError("line\n" * 1_000),
    "SourceError": lambda: SourceError("second: cannot be read"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_a_batch_that_fails_with_an_error_of_any_type_leaves_no_rows_and_keeps_no_other_waiting(tmp_path, kind) -> None:
    project = ProjectFolder(tmp_path)
    made = ingest_settled(parse({}, where="test"), project, Faulty(kind=kind), settle=0)
    assert [experience.name for experience in made] == ["first", "third"]
    (left_out,) = read_rejected(project)
    assert_one_line(left_out, "second")


ODD_CELLS: dict[str, Any] = {
    "number of 5,000 digits": 10**5_000,
    "keys that are no texts": {(1, 2): 3},
    "frame in a cell": pd.DataFrame({"x": [1]}),
    "text that is not UTF-8": "\ud800",
    "set": {1, 2},
    "missing": pd.NA,
    "type": int,
}


@pytest.mark.parametrize("column", ["id", "text", "label", "more"])
@pytest.mark.parametrize("kind", ODD_CELLS)
def test_a_data_frame_with_an_odd_cell_is_read_or_refused_in_one_line(tmp_path, kind, column) -> None:
    from cl.ingestion.ingest import ingest
    from cl.ingestion.sources._frame import Frame

    rows = pd.DataFrame(ROWS, dtype=object).assign(more=None)
    rows[column] = pd.Series(["x", ODD_CELLS[kind]], dtype=object)
    rows["text"] = rows["text"].where([False, True], "pay a loan")
    project = ProjectFolder(tmp_path)
    try:
        (made,) = ingest(parse({}, where="test"), project, Frame(frame=rows))
        assert made.total >= 1
    except SourceError as error:
        assert str(error).isprintable() and "a data frame" in str(error)


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({**ROWS, "tokens": [["a", "b"], ["c"]], "day": pa.array([1, 2], pa.date32())})
    pq.write_table(pa.concat_tables([table] * 20), sink)
    return bytes(sink.getvalue())


FORMATS: dict[str, bytes] = {
    "csv": CSV * 10,
    "csv.gz": gzip.compress(CSV * 10),
    "jsonl": LINES * 10,
    "ndjson.gz": gzip.compress(LINES * 10),
    "parquet": parquet_bytes(),
}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a file with a few bytes changed, cut out, repeated, or replaced by what readers stumble over."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(len(data)))
        end = start + int(rng.integers(1, 40))
        match rng.integers(5):
            case 0:
                data[start] ^= 1 << int(rng.integers(8))
            case 1:
                del data[start:end]
            case 2:
                data[start:start] = data[start:end] * int(rng.integers(1, 5))
            case 3:
                data[start:end] = rng.bytes(end - start)
            case _:
                data[start:start] = bytes(rng.choice([b'"', b"\0", b"\xff", b"\n", b"\r", b"[" * 2_000, b"9" * 5_000]))
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.parametrize("suffix", FORMATS)
def test_damaged_files_of_every_format_keep_no_other_file_waiting(tmp_path, suffix) -> None:
    rng = np.random.default_rng(len(suffix))
    files: dict[bytes, Content] = {
        f"damaged-{number:02}.{suffix}".encode(): damaged(FORMATS[suffix], rng) for number in range(60)
    }
    made, rejected = unattended(tmp_path, files)
    assert_the_good_are_there(made)
    assert rejected or suffix in ("csv", "jsonl"), "of a plain text, some rows can be read"
    for left_out in rejected:
        assert_one_line(left_out, "damaged-")
