from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cl.ingestion.class_support import support_classes
from cl.records import SPLITS, Experience
from cl.records.experience import unbacked_classes
from cl.stores.data.fingerprints import fingerprints
from cl.stores.data.staging import Staged
from cl.tasks.text_classification import TextClassification
from cl.tasks.token_classification import TokenClassification
from tests.support.cycles import made_cycle

Row = tuple[str, Any, str]


def staged(folder: Any, rows: list[Row], *, chunk: int = 3) -> Staged:
    """Stage rows, each with its input, its label or tags, and its split, in chunks."""
    schema = TextClassification.schema if isinstance(rows[0][1], str) else TokenClassification.schema
    result = Staged("may", folder, schema)
    for start in range(0, len(rows), chunk):
        part = rows[start : start + chunk]
        names = [f"r{start + index}" for index in range(len(part))]
        if isinstance(part[0][1], str):
            frame = pd.DataFrame({"id": names, "text": [row[0] for row in part], "label": [row[1] for row in part]})
        else:
            frame = pd.DataFrame(
                {"id": names, "tokens": [[row[0]] * len(row[1]) for row in part], "tags": [row[1] for row in part]}
            )
        splits = np.array([SPLITS.index(row[2]) for row in part], dtype=np.int8)
        result.add(frame, ["{}"] * len(part), fingerprints(frame, schema), splits)
    result.close()
    return result


def split_of(rows: Staged) -> list[str]:
    return [SPLITS[number] for number in np.concatenate(rows.splits)]


def moved(folder: Any, rows: list[Row], kept: list[bool] | None = None) -> list[int]:
    """Return the positions of the rows that move, and check that they move to training."""
    made = staged(folder, rows)
    before = split_of(made)
    count = support_classes(made, made.fingerprints().inputs, np.array(kept or [True] * len(rows)))
    after = split_of(made)
    changed = [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    assert count == len(changed) and all(after[index] == "train" for index in changed)
    return changed


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([("a", "fee", "test")], [0], id="one row"),
        pytest.param([("a", "fee", "train"), ("b", "fee", "test"), ("c", "fee", "validation")], [], id="has one"),
        pytest.param([("a", "fee", "train"), ("b", "loan", "test"), ("c", "loan", "validation")], [2], id="validation"),
        pytest.param(
            [("a", "x y", "test"), ("b", "x", "validation"), ("c", "y", "train")], [0, 1], id="names with spaces"
        ),
        pytest.param([("a", ["O", "O"], "test")], [0], id="a sentence without an entity"),
        pytest.param(
            [
                ("a", ["B-PER"], "test"),
                ("b", ["B-PER", "B-LOC"], "test"),
                ("c", ["B-LOC"], "test"),
                ("d", ["O"], "train"),
            ],
            [1],
            id="one sentence for two types",
        ),
    ],
)
def test_each_class_keeps_a_training_row_and_the_fewest_rows_move(tmp_path, rows, expected) -> None:
    assert moved(tmp_path, rows) == expected


def test_rows_with_one_input_move_together_and_a_smaller_group_is_preferred(tmp_path) -> None:
    rows = [("same", "fee", "validation"), ("same", "fee", "validation"), ("other", "fee", "test")]
    assert moved(tmp_path / "small", rows) == [2]
    assert moved(tmp_path / "only", rows[:2]) == [0, 1]


def test_a_row_that_is_not_kept_backs_nothing(tmp_path) -> None:
    assert moved(tmp_path, [("a", "fee", "train"), ("b", "fee", "test")], [False, True]) == [1]


@pytest.mark.parametrize("seed", range(6))
def test_the_cover_of_entity_types_is_the_smallest_there_is_and_independent_of_the_order(tmp_path, seed) -> None:
    rng = np.random.default_rng(seed)
    kinds = [
        [f"B-{kind}" for kind in rng.choice(list("ABCDEF"), int(rng.integers(1, 4)), replace=False)] for _ in range(9)
    ]
    rows: list[Row] = [(f"w{index}", tags, rng.choice(["validation", "test"])) for index, tags in enumerate(kinds)]
    every = {tag for tags in kinds for tag in tags}
    least = next(
        size for size in range(1, 10) if any(set().union(*chosen) == every for chosen in combinations(kinds, size))
    )
    first = moved(tmp_path / "1", rows)
    assert len(first) == least and {tag for index in first for tag in kinds[index]} == every
    order = rng.permutation(len(rows))
    again = moved(tmp_path / "2", [rows[index] for index in order])
    assert sorted(int(order[index]) for index in again) == first


def experience(id: str, labels: list[str], untrained: list[str]) -> Experience:
    changes = {"id": id, "labels": dict.fromkeys(labels, 1), "untrained": untrained}
    return made_cycle().experience.model_copy(update=changes)


def test_a_class_is_unbacked_until_any_experience_trains_it() -> None:
    may = experience("0001-may", ["fee", "loan"], ["loan"])
    assert unbacked_classes([may]) == {"0001-may": ["loan"]}
    assert unbacked_classes([may, experience("0002-june", ["loan"], [])]) == {}
