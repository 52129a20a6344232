"""A project whose rows have weights: ingested, learned, kept in buffers and sums, and forgotten."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cl.lifecycle import run_waiting
from cl.records import SPLITS, WEIGHT
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.training.strategies import load_states
from tests.support.forgetting import RANPAC, arrives, forgotten, shop, version
from tests.support.tiny import made_sentences

DATA = {
    "source": {"name": "files", "path": "inbox"},
    "split": {"validation": 0.1, "test": 0.3},
    "weight": "importance",
}


def weighted(seed: int, labels: list[str]) -> pd.DataFrame:
    rows = made_sentences(labels, 60, seed=seed)
    return rows.assign(importance=[(0, 1, 2.5)[number % 3] for number in range(len(rows))])


def stored(project: ProjectFolder) -> pd.DataFrame:
    store = open_project(project.root).stores.experiences
    parts = [store.rows(item.id, split).assign(split=split) for item in store.all() for split in SPLITS]
    return pd.concat(parts).set_index("id")


def kept_weights(folder: Path) -> dict[str, float]:
    (state,) = load_states(folder).values()
    assert state.rows is not None
    return state.rows.set_index("id")[WEIGHT].to_dict()


@pytest.mark.parametrize("strategy", ["replay", RANPAC], ids=str)
def test_weights_go_with_the_rows_into_every_version(tmp_path, tiny_model, strategy) -> None:
    project = shop(tmp_path / "shop", tiny_model, data=DATA, strategy=strategy)
    given: dict[str, float] = {}
    for name, seed, labels in (("one", 1, ["loan", "fee"]), ("two", 2, ["loan", "box"])):
        rows = weighted(seed, labels)
        given |= dict(zip(rows["id"], rows["importance"], strict=True))
        arrives(project, name, rows)
        (cycle,) = run_waiting(project)
        assert cycle.verdict == "promoted" and cycle.evaluation.challenger[0].rows > 0
    rows = stored(project)
    assert rows[WEIGHT].to_dict() == {id: given[id] for id in rows.index}
    learned = ["train"] if strategy == "replay" else ["train", "validation"]
    expected = rows[rows["split"].isin(learned) & (rows[WEIGHT] > 0)][WEIGHT].to_dict()
    assert kept_weights(version(project, "2")) == expected
    gone = [id for id, weight in expected.items() if weight > 1][:2]
    assert forgotten(project, gone)["version"] == "3"
    left = {id: weight for id, weight in expected.items() if id not in gone}
    assert kept_weights(version(project, "3")) == left
    assert stored(project)[WEIGHT].to_dict() == {id: given[id] for id in rows.index if id not in gone}
