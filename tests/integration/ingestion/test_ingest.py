from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cl.config import Config, SplitShares, parse
from cl.errors import SourceError
from cl.ingestion.ingest import assign_splits, ingest
from cl.ingestion.sources.files import Files
from cl.process.progress import reporting
from cl.records import SPLITS, Experience
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import hash_texts
from cl.stores.project_folder import ProjectFolder
from tests.support import warm
from tests.support.stages import RecordedStages

COLUMNS = ["id", "text", "label"]


def configured(task: str = "text_classification", **data: Any) -> Config:
    return parse({"task": task, "data": data}, where="test")


def take(project: ProjectFolder, rows: list[Any] | pd.DataFrame, name: str = "one", **data: Any) -> list[Experience]:
    path = project.root / f"{name}.csv"
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows, columns=COLUMNS)
    frame.to_csv(path, index=False)
    return ingest(configured(**data), project, Files(path=str(path)))


def held(project: ProjectFolder, id: str) -> pd.DataFrame:
    store = Experiences(project)
    rows = pd.concat([store.rows(id, split) for split in SPLITS])
    return rows.assign(at=rows["id"].str.extract(r"(\d+)", expand=False).astype(int)).sort_values("at")


def state(project: ProjectFolder) -> dict[str, bytes]:
    found = {str(path.relative_to(project.root)): path for path in project.data.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if path.name != "experience.json"}


def some(rows: int, start: int = 0, label: str = "a") -> list[tuple[str, str, str]]:
    return [(f"r{n}", f"text number {n}", label) for n in range(start, start + rows)]


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path)


def test_a_file_becomes_an_experience_with_its_splits(project) -> None:
    (made,) = take(project, some(300) + some(100, 300, "b"), "Month 1")
    assert (made.id, made.name, made.source) == ("0001-month-1", "Month 1", "Month 1.csv")
    assert made.total == 400 and made.labels == {"a": 300, "b": 100} and made.quarantined == {}
    assert 50 < made.rows["test"] < 110 and 35 < made.rows["validation"] < 85
    assert Experiences(project).all() == [made]
    assert held(project, made.id)["text"].tolist() == [f"text number {n}" for n in range(400)]


def test_chunks_make_no_difference(project, tmp_path) -> None:
    rows = some(40) + some(5) + [("r3", "other", "b"), ("x1", "text number 7", "b"), ("x2", "", "b")]
    whole, pieces = (ProjectFolder(tmp_path / name) for name in ("whole", "pieces"))
    results = []
    for place, chunk_rows in ((whole, 1000), (pieces, 3)):
        place.root.mkdir()
        (made,) = take(place, rows, chunk_rows=chunk_rows)
        results.append((held(place, made.id).to_dict("records"), made.quarantined, made.duplicates))
    assert results[0] == results[1]


def test_a_row_that_stands_twice_is_kept_once(project) -> None:
    (made,) = take(project, some(10) + some(3))
    assert (made.total, made.duplicates, made.quarantined) == (10, 3, {})


def test_of_one_id_with_two_contents_the_first_is_kept(project) -> None:
    (made,) = take(project, [*some(10), ("r0", "another text", "a")])
    assert made.quarantined == {"duplicate id": 1} and made.total == 10
    (bad,) = Experiences(project).quarantined(made.id).to_dict("records")
    assert bad == {
        "id": "r0",
        "reason": "duplicate id",
        "row": '{"id": "r0", "text": "another text", "label": "a"}',
    }


def test_all_rows_of_a_text_with_two_labels_are_set_aside(project) -> None:
    rows = [*some(10), ("x1", "same", "a"), ("x2", "same", "b"), ("x3", "same", "a"), ("x3", "same", "a")]
    (made,) = take(project, rows)
    assert made.quarantined == {"contradicting labels": 4} and made.labels == {"a": 10}


def test_one_text_twice_with_one_label_is_a_repeat_whatever_its_ids(project) -> None:
    (made,) = take(project, [("x1", "same", "a"), ("x2", "same", "a"), ("x1", "same", "a")])
    assert (made.total, made.duplicates, made.quarantined) == (1, 2, {})


def test_rows_of_earlier_experiences_are_counted_and_left_out(project) -> None:
    take(project, some(10))
    again = [*some(2), ("new-id", "text number 5", "a"), ("r7", "changed", "a"), *some(4, 10)]
    (made,) = take(project, again, "two")
    assert made.id == "0002-two" and made.seen == 3
    assert made.quarantined == {"known id with another text or label": 1} and made.total == 4


def test_a_known_text_with_another_label_is_set_aside_by_name(project, caplog) -> None:
    take(project, some(10))
    (made,) = take(project, [("n1", "text number 5", "b"), ("n2", "text number 5", "a"), ("n3", "new", "b")], "two")
    assert (made.total, made.seen, made.quarantined) == (1, 1, {"known text with another label": 1})
    assert "known text with another label 1; if they correct the earlier rows: cl ingest --corrections" in caplog.text


def test_the_same_file_again_changes_nothing(project) -> None:
    rows = [*some(10), ("r0", "other", "b"), ("x", "same", "a"), ("y", "same", "b"), ("z", "", "a")]
    take(project, rows)
    before = state(project)
    assert take(project, rows) == []
    assert state(project) == before


def test_what_was_seen_is_known_from_the_data_alone(project) -> None:
    take(project, some(10))
    for path in (project.work / "known").iterdir():
        path.write_bytes(b"damaged")
    assert take(project, some(10)) == []


def test_a_column_cuts_one_input_into_experiences_in_order_of_appearance(project) -> None:
    frame = pd.DataFrame([*some(5), *some(5, 5), *some(5, 10)], columns=COLUMNS)
    frame["month"] = ["May", "April", "May"] * 5
    made = take(project, frame, group_by="month", chunk_rows=4)
    assert [(one.id, one.name, one.total) for one in made] == [
        ("0001-may", "May", 10),
        ("0002-april", "April", 5),
    ]


@pytest.mark.parametrize("id", ["id", None])
def test_further_columns_are_kept_beside_each_row_and_change_nothing_else(tmp_path, id) -> None:
    rows = pd.DataFrame(some(40), columns=COLUMNS).assign(channel=["app", None] * 20, priority=range(40))
    found = []
    for name, keep in (("plain", []), ("kept", ["channel", "priority"])):
        place = ProjectFolder(tmp_path / name)
        place.root.mkdir()
        (made,) = take(place, rows, id=id, keep=keep)
        found.append(pd.concat([Experiences(place).rows(made.id, split) for split in SPLITS]))
    plain, kept = found
    assert set(kept["channel"].dropna()) == {"app"} and kept["channel"].isna().sum() == 20
    assert sorted(map(int, kept["priority"])) == list(range(40)), "as text"
    pd.testing.assert_frame_equal(kept[plain.columns], plain)


def test_a_column_to_be_kept_that_is_not_there_is_named(project) -> None:
    with pytest.raises(SourceError, match=r"no column 'channel'; there are: id, text, label; set data\.keep"):
        take(project, some(3), keep=["channel"])


def test_a_period_cuts_one_input_by_date_in_order_of_time(project) -> None:
    frame = pd.DataFrame(some(6), columns=COLUMNS).assign(
        day=["2021-04-02", "2020-12-31", "2021-06-30", "2021-07-01", "none", "2020-10-01"]
    )
    made = take(project, frame, date="day", period="quarter", chunk_rows=3)
    assert [(one.name, one.total) for one in made] == [("2020-Q4", 2), ("2021-Q2", 2), ("2021-Q3", 1)]
    assert made[2].quarantined == {"missing or unreadable date": 1}


def test_an_unreadable_line_belongs_to_the_group_before_it(project) -> None:
    path = project.root / "x.csv"
    path.write_text("broken\nid,text,label,m\n1,one one,a,x\n2,two two,a,y\nbroken\n3,three,a,x\n".partition("\n")[2])
    first, second = ingest(configured(group_by="m"), project, Files(path="x.csv"))
    assert first.quarantined == {} and second.quarantined == {"unreadable line": 1}


def test_a_group_without_a_good_row_makes_no_experience(project, caplog) -> None:
    frame = pd.DataFrame([*some(5), ("x", "", "a")], columns=COLUMNS).assign(month=["1"] * 5 + ["2"])
    (made,) = take(project, frame, group_by="month")
    assert made.name == "1" and "'2' has no good row; not kept: missing text 1" in caplog.text


def test_too_many_groups_are_refused(project) -> None:
    frame = pd.DataFrame(some(301), columns=COLUMNS)
    with pytest.raises(SourceError, match="more than 300 values"):
        take(project, frame, group_by="text")
    days = pd.date_range("2020-01-01", periods=301).strftime("%Y-%m-%d")
    with pytest.raises(SourceError, match=r"more than 300 days.*data.period to a longer one"):
        take(project, frame.assign(day=days), date="day", period="day")
    assert state(project) == {}


def test_a_column_may_say_the_split(project) -> None:
    frame = pd.DataFrame(some(4), columns=COLUMNS).assign(part=["train", "Dev", "test", "valid"])
    (made,) = take(project, frame, split_column="part")
    assert made.rows == {"train": 1, "validation": 2, "test": 1}


def given(project: ProjectFolder, name: str, **splits: list[tuple[str, str]]) -> Files:
    """A folder with a file for each split, whose rows have no ids, or ids that are unique in their file alone."""
    folder = project.root / name
    folder.mkdir()
    for split, rows in splits.items():
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(folder / f"{split}.csv", index=False)
    return Files(path=str(folder))


TRAINED = [("pay a loan", "loan"), ("pay a fee", "fee"), ("pay a fee", "fee"), ("which box", "box")]
TESTED = [("pay a loan", "loan"), ("open a box", "box"), ("open a box", "box"), ("which box", "loan")]


@pytest.mark.parametrize("with_ids", [False, True])
def test_a_given_test_split_stays_whole_and_its_leaks_are_counted(project, with_ids) -> None:
    source = given(project, "official", train=TRAINED, test=TESTED)
    if with_ids:
        for path in (project.root / "official").iterdir():
            pd.read_csv(path).rename_axis("id").to_csv(path)
    (made,) = ingest(configured(), project, source)
    tests = Experiences(project).rows(made.id, "test")
    assert tests[["text", "label"]].to_numpy().tolist() == [list(row) for row in TESTED] and tests["id"].is_unique
    assert made.leaks == 1, "the text of another is in training under another label, and that row was set aside"
    assert made.quarantined == {"contradicting labels": 1}
    assert made.rows["train"] == 2, "a row that stands twice in training is learned once"
    assert ingest(configured(), project, source) == [], "a split that was given is given once"


def test_a_test_row_that_an_earlier_file_trained_on_stays_and_counts_as_a_leak(project) -> None:
    ingest(configured(), project, given(project, "first", train=TRAINED[:2], test=[("open a box", "box")]))
    (second,) = ingest(configured(), project, given(project, "second", train=[("a card", "card")], test=TRAINED[:1]))
    assert (second.rows["test"], second.leaks, second.seen) == (1, 1, 0)


def test_a_row_of_a_given_test_split_is_not_trained_on_later(project) -> None:
    ingest(configured(), project, given(project, "first", train=TRAINED[:2], test=[("open a box", "box")]))
    (second,) = ingest(
        configured(),
        project,
        given(project, "second", train=[("open a box", "box"), ("a card", "card")], test=[("b c", "fee")]),
    )
    assert (second.rows["train"], second.seen, second.leaks) == (1, 1, 0)


def test_rows_without_a_column_id_get_ids_from_their_content(project) -> None:
    frame = pd.DataFrame(
        [("pay a loan", "loan"), ("pay a fee", "fee"), ("pay a fee", "fee")], columns=["text", "label"]
    )
    (made,) = take(project, frame)
    assert made.total == 2 and made.duplicates == 1


def test_the_split_of_an_id_is_the_same_for_ever() -> None:
    ids = hash_texts([f"row-{n}" for n in range(10_000)])
    numbers = assign_splits(ids, SplitShares(validation=0.15, test=0.2))
    assert np.bincount(numbers).tolist() == [6465, 1484, 2051]
    assert numbers[:12].tolist() == [0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 1, 0]


def test_tokens_are_ingested_with_the_rows_of_each_entity_type(project) -> None:
    rows = [{"tokens": ["Anna", "Lee", str(n)], "tags": ["B-PER", "I-PER", "O"]} for n in range(10)]
    rows += [
        {"tokens": ["in", "York", "Anna"], "tags": ["O", "B-LOC", "B-PER"]},
        {"tokens": ["York"], "tags": ["B"]},
    ]
    pd.DataFrame(rows).to_parquet(project.root / "x.parquet")
    (made,) = ingest(configured("token_classification", id=None), project, Files(path="x.parquet"))
    assert made.labels == {"LOC": 1, "PER": 11} and made.quarantined == {"not BIO2": 1}
    kept = Experiences(project).rows(made.id, "train")
    assert list(kept.columns) == ["id", "tokens", "tags", "date"] and list(kept["tags"][0])[2] == "O"


def test_an_input_without_a_good_row_is_refused_with_the_reasons_and_changes_nothing(project) -> None:
    take(project, some(5))
    before = state(project)
    with pytest.raises(SourceError, match=r"two\.csv: no good row among 3: missing text 2, known id with another"):
        take(project, [("1", "", "a"), ("2", "", "b"), ("r0", "other", "a")], "two")
    assert state(project) == before


def test_a_file_that_breaks_off_changes_nothing(project) -> None:
    import gzip

    rows = pd.DataFrame(some(5000), columns=COLUMNS).to_csv(index=False)
    (project.root / "x.csv.gz").write_bytes(gzip.compress(rows.encode())[:-2000])
    with pytest.raises(SourceError, match="not a complete gzip file"):
        ingest(configured(chunk_rows=100), project, Files(path="x.csv.gz"))
    assert state(project) == {}
    assert not list(project.work.rglob("*.parquet"))


def test_odd_bytes_in_an_unused_column_harm_nothing(project) -> None:
    (project.root / "x.csv").write_bytes(
        b"id,text,label,note\n1,one one,a,caf\xe9\n2,caf\xe9,b,\n3,caf\xc3\xa9,b,\n4,\xc3\xa9t\xc3\xa9,b,\n"
    )
    (made,) = ingest(configured(), project, Files(path="x.csv"))
    assert made.total == 3 and made.quarantined == {"not valid UTF-8": 1}
    assert "\\udce9" in Experiences(project).quarantined(made.id)["row"][0]


def test_labels_that_differ_only_in_form_case_or_space_are_noticed_when_one_of_them_is_new(project, caplog) -> None:
    take(project, [*some(5, 0, "late fee"), *some(5, 5, "loan")])
    assert caplog.messages == []
    rows = [*some(5, 10, "Late  fee"), *some(5, 15, "late fee"), *some(5, 20, "caf\u00e9"), *some(5, 25, "cafe\u0301")]
    (made,) = take(project, rows, "two")
    assert made.labels == {"late fee": 5, "Late  fee": 5, "caf\u00e9": 10}
    composed, similar = caplog.messages
    assert "two.csv: " in composed and r"'cafe\u0301'" in composed
    assert "two.csv: " in similar and "'late fee' (5) and 'Late  fee' (5)" in similar
    caplog.clear()
    take(project, some(5, 30, "Late  fee"), "three")
    assert caplog.messages == [], "what was noticed once is known"


def test_the_form_of_a_label_makes_no_row_new(project) -> None:
    take(project, [("1", "a coffee", "caf\u00e9"), ("2", "a tea", "tea")])
    assert take(project, [("1", "a coffee", "cafe\u0301"), ("2", "a tea", "tea")], "two") == []


@pytest.mark.parametrize("name", ["__unreadable__", "__split__", "split", "index", "chunk", "config", "class"])
def test_a_column_of_any_name_is_kept_and_harms_nothing(project, name) -> None:
    frame = pd.DataFrame(some(20), columns=COLUMNS).assign(**{name: "train"})
    (made,) = take(project, frame, keep=[name])
    assert made.total == 20 and made.rows["test"] > 0 and made.quarantined == {}
    assert set(held(project, made.id)[name]) == {"train"}


def test_a_column_of_any_name_harms_no_given_split(project) -> None:
    folder = project.root / "given"
    folder.mkdir()
    for split in SPLITS:
        rows = pd.DataFrame(
            [(f"{split} text {n}", "a", "test") for n in range(4)], columns=["text", "label", "__split__"]
        )
        rows.to_csv(folder / f"{split}.csv", index=False)
    (made,) = ingest(configured(), project, Files(path=str(folder)))
    assert made.rows == dict.fromkeys(SPLITS, 4)


def test_words_for_the_present_are_no_dates(project) -> None:
    frame = pd.DataFrame(some(4), columns=COLUMNS).assign(day=["2021-04-02", "now", "today", "12:30"])
    (made,) = take(project, frame, date="day", period="month")
    assert (made.name, made.quarantined) == ("2021-04", {"missing or unreadable date": 3})


@pytest.mark.parametrize(("name", "total"), [("x.csv", 11), ("x.jsonl", 10), ("x.parquet", 10), ("x.csv.gz", None)])
def test_reading_is_a_stage_that_counts_its_rows(project, name, total) -> None:
    rows, path = pd.DataFrame(some(10), columns=COLUMNS), project.root / name
    if path.suffix == ".jsonl":
        rows.to_json(path, orient="records", lines=True)
    elif path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        rows.to_csv(path, index=False)
    with reporting(recorded := RecordedStages()):
        ingest(configured(chunk_rows=4), project, Files(path=name))
    assert recorded.titles == [f"read {name}", "compare with earlier rows and write"]
    assert recorded.amounts[0] == (10, total, "rows")


def test_what_an_interrupted_ingest_left_is_swept(project) -> None:
    take(project, some(5))
    before = state(project)
    (project.experiences / ".draft-0002-two").mkdir()
    (project.experiences / ".draft-0002-two" / "train.parquet").write_bytes(b"half")
    (project.quarantine / "0002-two.parquet").write_bytes(b"orphan")
    take(project, some(5))
    assert state(project) == before


KILLER = """
import os, signal, sys
import importlib
from cl.config import parse
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.project_folder import ProjectFolder
from pathlib import Path

where, name, call = importlib.import_module(sys.argv[2]), sys.argv[3], int(sys.argv[4])
real, calls = getattr(where, name), []
def deadly(*args, **kwargs):
    result = real(*args, **kwargs)
    calls.append(1)
    if len(calls) == call:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
setattr(where, name, deadly)
project = ProjectFolder(Path(sys.argv[1]))
ingest(parse({"data": {"group_by": "month"}}, where="x"), project, Files(path=str(project.root / "x.csv")))
"""


@pytest.mark.parametrize(
    ("where", "name", "call"),
    [
        ("cl.ingestion.ingest", "_stage", 1),
        ("cl.stores.data.publish", "_write_splits", 2),
        ("cl.stores.data.publish", "write_text", 1),
        ("cl.stores.data.publish", "mark_pending", 2),
        ("cl.stores.data.publish", "move_into_place", 1),
        ("cl.ingestion.ingest", "remember_fingerprints", 2),
    ],
)
def test_killed_and_repeated_it_ends_as_if_undisturbed(tmp_path, where, name, call) -> None:
    rows = [*some(30), ("r0", "other", "b"), ("x", "same", "a"), ("y", "same", "b"), ("z", "", "a"), *some(3)]
    frame = pd.DataFrame(rows, columns=COLUMNS).assign(month=[str(n % 2) for n in range(len(rows))])
    killed, undisturbed = ProjectFolder(tmp_path / "killed"), ProjectFolder(tmp_path / "undisturbed")
    for project in (killed, undisturbed):
        project.root.mkdir()
        frame.to_csv(project.root / "x.csv", index=False)
    arguments = [str(killed.root), where, name, str(call)]
    done = warm.python(KILLER, *arguments)
    assert done.returncode == -9, done.stderr
    for project in (killed, undisturbed):
        ingest(configured(group_by="month"), project, Files(path=str(project.root / "x.csv")))
    assert state(killed) == state(undisturbed)
    records = [
        [one.model_copy(update={"ingested_at": None}) for one in Experiences(p).all()] for p in (killed, undisturbed)
    ]
    assert records[0] == records[1] and len(records[0]) == 2
