"""Column files, workbooks, Arrow and Parquet files and saved data sets: their rows, class names and bounds."""

from __future__ import annotations

import json
import sys
import zipfile
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from cl import plugins
from cl.config import parse
from cl.errors import SourceError
from cl.ingestion.file_formats import read_chunks
from cl.ingestion.formats.arrow import _unpacked
from cl.ingestion.ingest import ingest
from cl.ingestion.internal_columns import UNREADABLE
from cl.ingestion.sources import Source
from cl.ingestion.sources.files import Files
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder
from tests.support.repository import ROOT


def read(path: Path, chunk_rows: int = 100) -> pd.DataFrame:
    return pd.concat(read_chunks(path, chunk_rows), ignore_index=True)


COLUMN_FILES = {
    "four columns": "-DOCSTART- -X- O O\n\nAnna NNP B-NP B-PER\nsings VB B-VP O\n\n. . O O\n",
    "two columns with tabs": "Anna\tB-PER\nsings\tO\n\n.\tO",
    "a header": "word\tner\nAnna\tB-PER\nsings\tO\n\n.\tO\n",
    "the tag first": "B-PER\tAnna\nO\tsings\n\nO\t.\n",
    "comments": "# sent_id = 1\nAnna\tB-PER\nsings\tO\n\n# text = .\n.\tO\n",
    "lines of white space": "Anna B-PER\r\nsings O\r\n \r\n. O\r\n\r\n\r\n",
}


@pytest.mark.parametrize("kind", COLUMN_FILES)
@pytest.mark.parametrize("name", ["x.conll", "x.bio", "x.iob", "x.tsv", "x.csv"])
def test_sentences_of_a_column_file_are_rows(tmp_path, kind, name) -> None:
    (tmp_path / name).write_text(COLUMN_FILES[kind])
    frame = read(tmp_path / name)
    assert frame["tokens"].tolist() == [["Anna", "sings"], ["."]] and frame["tags"].tolist() == [["B-PER", "O"], ["O"]]


def test_a_number_sign_is_a_token_and_no_comment(tmp_path) -> None:
    (tmp_path / "x.conll").write_text("# O\nAnna B-PER\n\na O\nb O\n")
    assert read(tmp_path / "x.conll")["tokens"].tolist() == [["#", "Anna"], ["a", "b"]]


def test_a_sentence_with_a_damaged_line_is_set_aside_alone(tmp_path) -> None:
    (tmp_path / "x.conll").write_text("Anna B-PER\nsings O\n\nAnna\nsings O\n\n. O\n")
    frame = read(tmp_path / "x.conll")
    assert [row and row.reason for row in frame[UNREADABLE]] == [None, "a line of other than 2 columns", None]


def test_a_column_file_without_tags_is_refused_by_name(tmp_path) -> None:
    (tmp_path / "x.conll").write_text("Anna NNP\nsings VBZ\n")
    with pytest.raises(SourceError, match=r"x\.conll: no column of tags such as O and B-PER in the last place"):
        read(tmp_path / "x.conll")


@pytest.mark.parametrize("tags", ["O B-X", "O"])
def test_a_table_with_a_column_of_tags_is_no_column_file(tmp_path, tags) -> None:
    rows = [{"id": str(number), "tokens": "a b", "tags": tags} for number in range(3)]
    pd.DataFrame(rows).to_csv(tmp_path / "x.tsv", sep="\t", index=False)
    assert read(tmp_path / "x.tsv").to_dict("records") == rows


@pytest.fixture
def workbook(tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="Excel files need a package: pip install 'perennial-ml[excel]'")

    def write(**sheets: list[list]) -> Path:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name, rows in sheets.items():
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "x.xlsx")
        return tmp_path / "x.xlsx"

    return write


HEADER = ["id", "text", "day"]


def test_the_rows_of_a_workbook_keep_dates_and_numbers(workbook) -> None:
    path = workbook(one=[HEADER, [1, "a", datetime(2026, 3, 7)], [2, "b", datetime(2026, 3, 7, 8, 30)], [None] * 3])
    assert read(path).to_dict("records") == [
        {"id": 1, "text": "a", "day": date(2026, 3, 7)},
        {"id": 2, "text": "b", "day": datetime(2026, 3, 7, 8, 30)},
    ]


def test_sheets_with_the_same_header_are_read_one_after_the_other(workbook) -> None:
    assert len(read(workbook(one=[HEADER, [1, "a", None]], empty=[], two=[HEADER, [2, "b", None]]))) == 2


def test_a_sheet_with_other_columns_refuses_the_workbook_by_name(workbook) -> None:
    with pytest.raises(
        SourceError, match="sheet 'notes' has other columns than sheet 'one'; save the one with the rows"
    ):
        read(workbook(one=[HEADER, [1, "a", None]], notes=[["remark"], ["x"]]))


def test_cells_that_stand_next_to_the_header_set_their_row_aside(workbook) -> None:
    frame = read(workbook(one=[HEADER, [1, "a", None, "more"], [2, "b", None, None]]))
    assert [row and row.reason for row in frame[UNREADABLE]] == ["cells without a header", None]


@pytest.mark.parametrize(
    ("package", "extra", "source"),
    [
        ("openpyxl", "excel", Files(path=str(ROOT / "docs/examples/formats/workbook.xlsx"))),
        ("datasets", "datasets", plugins.build(Source, {"name": "huggingface", "id": "my-org/tickets"})),
    ],
)
def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch, package, extra, source) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SourceError, match=rf"pip install 'perennial-ml\[{extra}\]'"):
        [list(batch.chunks) for batch in source.batches(tmp_path, chunk_rows=5)]


@pytest.mark.parametrize("rows", [[], [HEADER]])
def test_a_workbook_without_rows_is_refused(workbook, rows) -> None:
    with pytest.raises(SourceError, match=r"x\.xlsx: is empty"):
        read(workbook(one=rows))


def test_a_workbook_that_unpacks_to_far_more_than_its_size_is_refused(workbook) -> None:
    path = workbook(one=[HEADER, [1, "a", None]])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet2.xml", b" " * 100_000_000)
    with pytest.raises(SourceError, match=r"x\.xlsx: unpacks to more than 200 times its"):
        read(path)


FEATURES = {
    "label": {"names": ["fee", "loan"], "_type": "ClassLabel"},
    "tags": {"feature": {"names": ["O", "B-PER"], "_type": "ClassLabel"}, "_type": "List"},
    "old": [{"names": ["no", "yes"], "_type": "ClassLabel"}],
    "text": {"dtype": "string", "_type": "Value"},
}
NUMBERED = {"text": ["a", "b", "c"], "label": [1, 0, -1], "tags": [[1, 0], [0], []], "old": [[1], [0], None]}
NAMED = {"text": ["a", "b", "c"], "label": ["loan", "fee", None], "tags": [["B-PER", "O"], ["O"], []]}
NAMED |= {"old": [["yes"], ["no"], None]}


def described(columns: dict) -> pa.Table:
    note = json.dumps({"info": {"features": FEATURES}})
    return pa.table(columns).replace_schema_metadata({"huggingface": note})


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("name", ["x.parquet", "x.feather", "x.arrow"])
def test_numbers_of_classes_become_their_names(tmp_path, name) -> None:
    write = {"x.parquet": pq.write_table, "x.feather": feather.write_feather, "x.arrow": write_stream}[name]
    write(described(NUMBERED), tmp_path / name)
    frame = read(tmp_path / name, chunk_rows=2)
    plain = {column: [list(v) if v is not None and column != "text" and column != "label" else v for v in frame[column]]
             for column in NAMED}  # fmt: skip
    assert plain == NAMED


@pytest.mark.parametrize(
    "note", ["{", "[]", '{"info": 3}', '{"info": {"features": {"label": {"_type": "ClassLabel"}}}}']
)
def test_a_damaged_note_about_classes_is_ignored(tmp_path, note) -> None:
    pq.write_table(pa.table(NUMBERED).replace_schema_metadata({"huggingface": note}), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet")["label"].tolist() == [1, 0, -1]


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_categories_of_pandas_are_their_names(tmp_path, suffix) -> None:
    frame = pd.DataFrame({"label": pd.Categorical(["fee", "loan", None])})
    getattr(frame, f"to_{suffix}")(tmp_path / f"x.{suffix}")
    assert read(tmp_path / f"x.{suffix}")["label"].tolist() == ["fee", "loan", None]


@pytest.mark.parametrize("codec", [None, "zstd", "lz4"])
@pytest.mark.parametrize("kind", ["new_file", "new_stream"])
def test_what_an_arrow_file_unpacks_to_is_known_before_it_is_unpacked(tmp_path, codec, kind) -> None:
    table = pa.table({"id": ["1", "2"], "label": pa.array(["a", "a"]).dictionary_encode(), "text": ["x" * 5_000, "y"]})
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with getattr(pa.ipc, kind)(str(tmp_path / "x.arrow"), table.schema, options=options) as writer:
        writer.write_table(table)
    assert 5_000 < _unpacked(tmp_path / "x.arrow") < 5_200
    assert read(tmp_path / "x.arrow", chunk_rows=1)["text"].tolist() == ["x" * 5_000, "y"]


def test_an_arrow_file_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path) -> None:
    feather.write_feather(pa.table({"text": ["a" * 100_000_000]}), str(tmp_path / "x.feather"), compression="zstd")
    with pytest.raises(SourceError, match=r"x\.feather: unpacks to more than 200 times its"):
        read(tmp_path / "x.feather")


@pytest.mark.parametrize("end", [20, 200, -20])
def test_a_cut_arrow_file_is_refused_by_name(tmp_path, end) -> None:
    feather.write_feather(pa.table(NUMBERED), str(tmp_path / "whole.feather"))
    (tmp_path / "x.feather").write_bytes((tmp_path / "whole.feather").read_bytes()[:end])
    with pytest.raises(SourceError, match=r"x\.feather: cannot be read"):
        read(tmp_path / "x.feather")


def save_split(folder: Path, shards: list[dict], **state) -> None:
    """Write a split as `save_to_disk` does."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05}-of-{len(shards):05}.arrow" for number in range(len(shards))]
    for name, columns in zip(names, shards, strict=True):
        write_stream(pa.table(columns, schema=pa.schema({"id": pa.string(), "text": pa.string(), "label": pa.int64()})),
                     folder / name)  # fmt: skip
    state = {"_data_files": [{"filename": name} for name in names], **state}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))


def shard(prefix: str, count: int) -> dict:
    ids = [f"{prefix}{number}" for number in range(count)]
    return {"id": ids, "text": [f"message {id_}" for id_ in ids], "label": [number % 2 for number in range(count)]}


def test_a_saved_data_set_keeps_its_splits_shards_and_class_names(tmp_path) -> None:
    save_split(tmp_path / "tickets" / "train", [shard("a", 4), shard("b", 3), shard("c", 0)])
    save_split(tmp_path / "tickets" / "validation", [shard("d", 2)])
    save_split(tmp_path / "tickets" / "test", [shard("e", 3)])
    (tmp_path / "tickets" / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    source = Files(path="tickets")
    before = source.stamp(tmp_path)
    (made,) = ingest(parse({}, where="test"), ProjectFolder(tmp_path), source)
    assert made.name == "tickets" and made.rows == {"train": 7, "validation": 2, "test": 3}
    assert set(Experiences(ProjectFolder(tmp_path)).rows(made.id, "train")["label"]) == {"fee", "loan"}
    (tmp_path / "tickets" / "test" / "state.json").write_text("{}")
    assert before is not None and source.stamp(tmp_path) != before


def test_a_saved_data_set_without_splits_is_one_batch(tmp_path) -> None:
    save_split(tmp_path / "tickets", [shard("a", 200)])
    (made,) = ingest(parse({}, where="test"), ProjectFolder(tmp_path), Files(path="tickets"))
    assert made.name == "tickets" and made.total == 200 and min(made.rows.values()) > 10


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"_indices_data_files": [{"filename": "x"}]}, "holds its rows by a list of indices; call flatten_indices"),
        ({"_data_files": []}, "state.json names no data files; save the data set again"),
        ({"_data_files": [{"filename": "../x.arrow"}]}, "state.json names no data files"),
        ({"_data_files": [{"filename": "gone.arrow"}]}, "gone.arrow"),
    ],
)
def test_a_saved_data_set_that_is_not_whole_is_refused_by_name(tmp_path, state, says) -> None:
    save_split(tmp_path / "tickets", [shard("a", 2)], **state)
    with pytest.raises(SourceError, match=says):
        read(tmp_path / "tickets")


def test_json_files_in_a_folder_that_hold_no_table_are_skipped(tmp_path, caplog) -> None:
    for name, content in (("settings.json", {"a": 1}), ("list.json", [1, 2]), ("rows.json", [{"id": 1}])):
        (tmp_path / name).write_text(json.dumps(content, indent=1))
    caplog.set_level("INFO")
    assert [batch.name for batch in Files(path=".").batches(tmp_path, chunk_rows=5)] == ["rows"]
    assert "settings.json: skipped" in caplog.text
