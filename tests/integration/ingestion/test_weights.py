"""A column of weights is read, checked, stored with the rows, and stays with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from cl.cli.main import cl
from cl.config import parse
from cl.errors import ConfigError, SourceError
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.records import SPLITS, WEIGHT, Experience
from cl.stores.data.experiences import Experiences
from cl.stores.data.removal import remove_from_experience
from cl.stores.project_folder import ProjectFolder
from cl.tasks.text_classification import TextClassification

REASON = "weight is not a number of 0 or more"
TASKS: dict[str, dict[str, Any]] = {
    "text_classification": {"text": "parcel number {0}", "label": "parcel"},
    "token_classification": {"tokens": ["parcel", "{0}"], "tags": ["B-THING", "O"]},
}


@pytest.fixture
def project(tmp_path: Path) -> ProjectFolder:
    return ProjectFolder(tmp_path)


def made(task: str, number: int, **changes: Any) -> dict[str, Any]:
    """Make a row of a task; ``number`` is part of its input."""
    row = json.loads(json.dumps(TASKS[task]).replace("{0}", str(number)))
    return {"id": f"r{number}", **row, **changes}


def take(project: ProjectFolder, rows: list[dict[str, Any]], name: str = "one", **data: Any) -> list[Experience]:
    path = project.root / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = "token_classification" if "tokens" in rows[0] else "text_classification"
    config = parse({"task": task, "data": {"weight": "importance", **data}}, where="test")
    return ingest(config, project, Files(path=str(path)))


def stored(project: ProjectFolder) -> pd.DataFrame:
    store = Experiences(project)
    parts = [store.rows(item.id, split).assign(split=split) for item in store.all() for split in SPLITS]
    return pd.concat(parts).set_index("id")


@pytest.mark.parametrize("task", TASKS)
def test_weights_are_stored_and_what_is_none_is_set_aside_by_name(project, task) -> None:
    good = {2: 2.0, "0.5": 0.5, " 1e-3 ": 0.001, ".25": 0.25, "+3": 3.0, 0: 0.0, "-0": 0.0, "": 1.0, None: 1.0}
    bad = ["-1", -0.5, "NaN", "inf", "-Infinity", "1e999", "2,5", "1_000", "heavy", True, [1], {"of": 1}, "0x10", "٣"]
    rows = [made(task, number, importance=value) for number, value in enumerate([*good, *bad])]
    rows.append(made(task, 99))  # without the key
    (experience,) = take(project, rows)
    assert experience.quarantined == {REASON: len(bad)}
    weights = stored(project)[WEIGHT]
    assert weights.dtype == np.float64
    assert [weights[f"r{number}"] for number in range(len(good))] == list(good.values()) and weights["r99"] == 1.0
    assert Experiences(project).quarantined(experience.id)["id"].tolist() == [row["id"] for row in rows[len(good) : -1]]


def test_without_weights_nothing_is_stored_and_ids_from_the_content_do_not_hold_them(tmp_path) -> None:
    rows = [{**made("text_classification", number), "id": None, "importance": number + 1} for number in range(12)]
    named = [{key: value for key, value in row.items() if key != "id"} for row in rows]
    plain, weighed = ProjectFolder(tmp_path / "plain"), ProjectFolder(tmp_path / "weighed")
    for project, data in ((plain, {"weight": None}), (weighed, {})):
        project.root.mkdir()
        take(project, named, **data)
    assert list(stored(plain).columns) == ["text", "label", "date", "split"]
    assert sorted(stored(plain).index) == sorted(stored(weighed).index)
    assert sorted(stored(weighed)[WEIGHT]) == [float(number + 1) for number in range(12)]


@pytest.mark.parametrize("task", TASKS)
def test_a_row_that_differs_by_its_weight_alone_is_a_repeat(project, task) -> None:
    (first,) = take(project, [made(task, 1, importance=2), made(task, 1, id="other", importance=5), made(task, 2)])
    assert (first.duplicates, first.total, first.quarantined) == (1, 2, {})
    again = [made(task, 1, importance=7), made(task, 2, importance=7), made(task, 3, importance=7)]
    (second,) = take(project, again, "two")
    assert (second.seen, second.total) == (2, 1)
    assert stored(project)[WEIGHT].to_dict() == {"r1": 2.0, "r2": 1.0, "r3": 7.0}


def test_a_corrected_row_brings_its_weight_and_the_others_keep_theirs(project) -> None:
    task = "text_classification"
    take(project, [made(task, number, importance=number) for number in range(20)])
    take(project, [made(task, 3, label="letter", importance=30)], "mended", corrections="take")
    rows = stored(project)
    assert rows.loc["r3", ["label", WEIGHT]].tolist() == ["letter", 30.0]
    assert rows[WEIGHT].drop("r3").to_dict() == {f"r{number}": float(number) for number in range(20) if number != 3}


def test_rows_that_stay_when_others_are_removed_keep_their_weights(project, tmp_path) -> None:
    task = "text_classification"
    rows = [made(task, number, label=f"l{number % 2}", importance=number % 2) for number in range(20)]
    (experience,) = take(project, rows)
    assert experience.untrained == ["l0"]
    odd = {f"r{number}" for number in range(1, 20, 2)}
    remove_from_experience(
        project,
        experience.id,
        {*odd} - {"r1"},
        tmp_path / "scratch",
        schema=TextClassification.schema,
        field="forgotten",
    )
    assert stored(project)[WEIGHT].drop("r1").unique().tolist() == [0.0] and stored(project)[WEIGHT]["r1"] == 1.0


@pytest.mark.parametrize("task", TASKS)
def test_a_class_whose_training_rows_weigh_nothing_gets_a_row_that_counts(project, task) -> None:
    """Of the rows of a class, those for training have weight 0: a held-out one with a weight moves there."""
    split = {}
    for row in stored_splits(project, task):
        split.setdefault(row[1], []).append(row[0])
    zero = set(split["train"])
    other = ProjectFolder(project.root / "again")
    other.root.mkdir()
    rows = [made(task, number, importance=0 if f"r{number}" in zero else 1) for number in range(40)]
    (experience,) = take(other, rows)
    trained = stored(other).query("split == 'train'")
    assert (trained[WEIGHT] > 0).sum() == 1 and experience.untrained == []


def stored_splits(project: ProjectFolder, task: str) -> list[tuple[str, str]]:
    take(project, [made(task, number, importance=1) for number in range(40)])
    return list(stored(project)["split"].items())


def test_a_class_of_which_no_row_counts_is_named(tmp_path) -> None:
    from cl.commands.init import scaffold

    shop = scaffold(tmp_path / "shop", "name: shop\ndata: {weight: importance}\n").root
    rows = [made("text_classification", number, importance=1) for number in range(20)]
    rows += [made("text_classification", 50 + number, label="letter", importance=0) for number in range(20)]
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    done = CliRunner().invoke(cl, ["ingest", str(tmp_path / "rows.csv"), "-p", str(shop)])
    assert done.exit_code == 0 and "no training row, so never learned: letter" in done.output


def test_rows_set_aside_for_their_weight_are_exported_mended_and_taken(tmp_path) -> None:
    from cl.commands.init import scaffold

    shop = scaffold(tmp_path / "shop", "name: shop\ndata: {weight: importance}\n").root
    rows = [made("text_classification", number, importance="-2" if number == 7 else "2") for number in range(20)]
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)

    def ran(*arguments: str) -> str:
        done = CliRunner().invoke(cl, [*arguments, "-p", str(shop)])
        assert done.exit_code == 0, done.output
        return done.output

    assert REASON in ran("ingest", str(tmp_path / "rows.csv"))
    ran("quarantine", "export", str(tmp_path / "mend.csv"))
    exported = pd.read_csv(tmp_path / "mend.csv")
    assert exported[["id", "importance"]].values.tolist() == [["r7", -2]]
    exported.assign(importance=4).to_csv(tmp_path / "mend.csv", index=False)
    ran("ingest", str(tmp_path / "mend.csv"))
    assert stored(ProjectFolder(shop))[WEIGHT]["r7"] == 4.0
    assert json.loads(ran("quarantine", "--json"))[0]["returned"] == 1


def test_an_input_without_the_column_is_refused_by_name(project) -> None:
    with pytest.raises(SourceError, match=r"no column 'importance'; there are: id, text, label; set data.weight in"):
        take(project, [made("text_classification", number) for number in range(3)])


def test_the_stored_name_is_taken() -> None:
    with pytest.raises(ConfigError, match=f"data.keep: '{WEIGHT}' is taken"):
        parse({"data": {"keep": [WEIGHT]}}, where="test")
