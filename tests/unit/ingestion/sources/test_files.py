from __future__ import annotations

import gzip
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cl.errors import SourceError
from cl.ingestion.internal_columns import UNREADABLE
from cl.ingestion.sources.files import Files

HEADER = "id,text,label\n"


def read(root: Path, path: str = ".", *, only: str | None = None, chunk_rows: int = 100) -> dict[str, pd.DataFrame]:
    batches = Files(path=path, only=only).batches(root, chunk_rows=chunk_rows)
    return {batch.name: pd.concat(batch.chunks, ignore_index=True) for batch in batches}


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


ROWS = [{"id": "1", "text": "hello, you", "label": "a"}, {"id": "2", "text": "two\nlines", "label": "b"}]


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "x.CSV", "x.jsonl", "x.ndjson.gz", "x.jsonl.gz", "x.parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path, name) -> None:
    frame = pd.DataFrame(ROWS)
    if "parquet" in name:
        frame.to_parquet(tmp_path / name)
    elif "csv" in name.lower():
        write(tmp_path / name, frame.to_csv(index=False))
    else:
        write(tmp_path / name, "".join(json.dumps(row) + "\n\n" for row in ROWS))
    assert read(tmp_path, name)["x"].to_dict("records") == ROWS


def test_values_of_a_csv_stay_texts_and_an_empty_one_is_missing(tmp_path) -> None:
    write(tmp_path / "x.csv", HEADER + "007,NA,\n1.50,null,true\n")
    frame = read(tmp_path)["x"]
    assert frame["id"].tolist() == ["007", "1.50"] and frame["text"].tolist() == ["NA", "null"]
    assert frame["label"].tolist() == [None, "true"]


def test_a_mark_at_the_start_of_the_file_is_no_part_of_a_name(tmp_path) -> None:
    write(tmp_path / "x.csv", b"\xef\xbb\xbf" + HEADER.encode() + b"1,a,b\r\n")
    assert list(read(tmp_path)["x"].columns) == ["id", "text", "label"]


def test_rows_come_in_chunks_of_the_wanted_size(tmp_path) -> None:
    write(tmp_path / "x.csv", HEADER + "".join(f"{n},t{n},a\n" for n in range(7)))
    write(tmp_path / "y.jsonl", "".join(json.dumps({"id": n}) + "\n" for n in range(7)))
    pd.DataFrame({"id": range(7)}).to_parquet(tmp_path / "z.parquet")
    for batch in Files(path=".").batches(tmp_path, chunk_rows=3):
        assert [len(chunk) for chunk in batch.chunks] == [3, 3, 1]


def test_a_folder_gives_its_files_by_name_without_hidden_and_unknown_ones(tmp_path, caplog) -> None:
    for name in ("b.csv", "a.csv.gz", "c.d.csv", ".hidden.csv"):
        write(tmp_path / name, HEADER + "1,a,b\n")
    write(tmp_path / "notes.txt", "not rows")
    (tmp_path / "below").mkdir()
    with caplog.at_level("INFO"):
        assert list(read(tmp_path)) == ["a", "b", "c.d"]
    assert "notes.txt: skipped" in caplog.text
    assert list(read(tmp_path, only="b*")) == ["b"]


def test_two_files_of_one_name_and_two_kinds_are_two_batches(tmp_path) -> None:
    write(tmp_path / "a.csv", HEADER + "1,a,b\n")
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 2, "text": "c", "label": "d"}))
    assert {name: len(frame) for name, frame in read(tmp_path).items()} == {"a": 1, "a.jsonl": 1}


def test_an_origin_inside_the_project_is_relative(tmp_path) -> None:
    (tmp_path / "inbox").mkdir()
    write(tmp_path / "inbox" / "a.csv", HEADER + "1,a,b\n")
    (inside,) = Files(path="inbox").batches(tmp_path, chunk_rows=5)
    (outside,) = Files(path=str(tmp_path / "inbox")).batches(tmp_path / "elsewhere", chunk_rows=5)
    assert (inside.origin, outside.origin) == ("inbox/a.csv", str(tmp_path / "inbox" / "a.csv"))


def unreadable(frame: pd.DataFrame) -> list[str]:
    return [row.line for row in frame[UNREADABLE].dropna()]


def test_csv_rows_with_too_few_or_too_many_fields_are_neither_dropped_nor_shifted(tmp_path) -> None:
    write(tmp_path / "x.csv", HEADER + "1,a,b\n2,a\n3,a,b,c\n\n4,a,b\n")
    frame = read(tmp_path)["x"]
    assert frame["id"].tolist() == ["1", None, None, "4"]
    assert unreadable(frame) == ["2,a", "3,a,b,c"]


@pytest.mark.parametrize("stray", ['2,"open,b', '2,"open"x,b'])
@pytest.mark.parametrize("after", [0, 3, 5000])
def test_a_stray_quote_costs_its_own_row_only(tmp_path, stray, after) -> None:
    rest = [f'{n},"text, {n}",b' if n % 3 else f"{n},{'long ' * 9}{n},b" for n in range(3, 3 + after)]
    write(tmp_path / "x.csv", HEADER + "\n".join(["1,a,b", stray, *rest]) + "\n")
    frame = read(tmp_path, chunk_rows=1000)["x"]
    assert unreadable(frame) == [stray]
    assert frame["id"].dropna().tolist() == ["1", *(str(n) for n in range(3, 3 + after))]


def test_json_lines_that_are_no_objects_are_told_apart(tmp_path) -> None:
    lines = ['{"id": 1, "text": "a"}', "{broken", "[1, 2]", '"text"', "[" * 9000, '{"id": 2, "label": "b"}']
    write(tmp_path / "x.jsonl", "\n".join(lines))
    frame = read(tmp_path)["x"]
    assert unreadable(frame) == lines[1:5]
    assert frame["id"].tolist() == [1, None, None, None, None, 2]


def test_a_key_of_an_early_json_line_stays_a_column_later(tmp_path) -> None:
    write(tmp_path / "x.jsonl", '{"id": 1, "label": "a"}\n{"id": 2}\n')
    batch = next(Files(path="x.jsonl").batches(tmp_path, chunk_rows=1))
    assert [list(chunk.columns) for chunk in batch.chunks] == [["id", "label"]] * 2


def test_big_whole_numbers_beside_missing_ones_stay_exact(tmp_path) -> None:
    big = 2**60 + 1
    write(tmp_path / "x.jsonl", json.dumps({"id": big}) + "\n" + json.dumps({"id": None}) + "\n")
    pq.write_table(pa.table({"id": [big, None]}), tmp_path / "y.parquet")
    frames = read(tmp_path)
    assert frames["x"]["id"][0] == big and frames["y"]["id"][0] == big


def test_broken_encoding_leaves_the_rest_of_the_file_readable(tmp_path) -> None:
    write(tmp_path / "x.csv", HEADER.encode() + b"1,caf\xe9,a\n2,caf\xc3\xa9,b\n")
    write(tmp_path / "y.jsonl", b'{"id": "1", "text": "caf\xe9"}\n{"id": "2", "text": "caf\xc3\xa9"}\n')
    broken = pa.array([b"caf\xe9", b"caf\xc3\xa9"]).view(pa.string())
    pq.write_table(pa.table({"id": ["1", "2"], "text": broken}), tmp_path / "z.parquet")
    frames = read(tmp_path)
    for frame in frames.values():
        assert frame["text"].tolist() == ["caf\udce9", "caf\u00e9"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", b"", "empty"),
        ("x.csv", HEADER.encode(), "a header but no rows"),
        ("x.csv.gz", HEADER.encode(), "a header but no rows"),
        ("x.csv", b"id,text,text\n1,a,b\n", "a column twice: 'text'"),
        ("x.csv", HEADER.encode("utf-16"), "a header but no rows"),
        ("x.jsonl", b"\n\n", "no line"),
        ("x.parquet", b"PAR1 but no more", "cannot be read"),
        ("x.docx", b"PK", ".csv, .csv.gz, .jsonl"),
        ("x", b"PK", "known formats"),
    ],
)
def test_a_file_that_holds_no_rows_is_refused_in_one_line(tmp_path, name, content, says) -> None:
    write(tmp_path / name, content)
    with pytest.raises(SourceError) as error:
        read(tmp_path, name)
    assert says in str(error.value) and name in str(error.value) and "\n" not in str(error.value)


def test_parquet_without_rows_is_refused(tmp_path) -> None:
    pd.DataFrame({"id": []}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="columns but no rows"):
        read(tmp_path)


@pytest.mark.parametrize("cut", [3, 40, -5])
def test_a_cut_gzip_file_is_refused(tmp_path, cut) -> None:
    whole = gzip.compress((HEADER + "".join(f"{n},text {n},a\n" for n in range(500))).encode())
    (tmp_path / "x.csv.gz").write_bytes(whole[:cut])
    with pytest.raises(SourceError, match="not a complete gzip file"):
        read(tmp_path)


def test_what_is_no_gzip_at_all_is_refused(tmp_path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(SourceError, match="not a complete gzip file"):
        read(tmp_path)


def test_nothing_there_and_nothing_readable_are_told_apart(tmp_path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        read(tmp_path, "nowhere.csv")
    with pytest.raises(SourceError, match="no readable file"):
        read(tmp_path)
    write(tmp_path / "a.csv", HEADER + "1,a,b\n")
    with pytest.raises(SourceError, match=r"no readable file matching '\*.parquet'"):
        read(tmp_path, only="*.parquet")


def test_one_empty_file_in_a_folder_is_told_by_a_check_before_any_is_read(tmp_path) -> None:
    write(tmp_path / "a.csv", HEADER + "1,a,b\n")
    write(tmp_path / "b.csv", "")
    with pytest.raises(SourceError, match=r"b\.csv: is empty"):
        Files(path=".").check(tmp_path)
