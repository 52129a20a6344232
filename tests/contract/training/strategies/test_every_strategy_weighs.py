"""What weights do in every file in cl/training/strategies, also in those that are yet to come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from cl.models.inference import row_logits
from cl.models.persistence import load_learner
from cl.records import WEIGHT
from cl.training.strategies import load_states
from cl.training.train import train
from tests.contract.training.strategies.test_every_strategy import config_of  # noqa: F401
from tests.support.task_rows import strategies_for
from tests.support.tiny import made_sentences
from tests.support.versions import assert_same_version

LABELS = {"one": ["loan", "fee"], "two": ["box", "lamp"]}
EVERY = strategies_for("text_classification")


def rows_of(ids: list[str], split: str) -> pd.DataFrame:
    size = 20 if split == "train" else 8
    seed = {"train": 0, "validation": 100, "test": 200}[split]
    parts = [made_sentences(LABELS[id], size, seed=seed + len(id), prefix=id) for id in ids]
    return pd.concat(parts, ignore_index=True) if parts else made_sentences(["loan"], 0)


@pytest.fixture
def learnt(config_of, tmp_path):  # noqa: F811
    """Learn two experiences and return the folder of the version; ``change`` is made to the rows that are learned."""

    def run(name: str, kind: str, change) -> Path:
        def changed(ids: list[str], split: str) -> pd.DataFrame:
            return change(rows_of(ids, split), split)

        first, second = tmp_path / kind / "1", tmp_path / kind / "2"
        config = config_of(name)
        train(config, champion=None, new=["one"], past=[], rows_of=changed, folder=first)
        train(config, champion=first, new=["two"], past=["one"], rows_of=changed, folder=second)
        return second

    return run


def weigh(rows: pd.DataFrame, weights: object) -> pd.DataFrame:
    return rows.assign(**{WEIGHT: np.broadcast_to(np.asarray(weights, dtype=float), len(rows)).copy()})


def without_weights(folder: Path) -> None:
    """Drop the column of weights from the rows that a version keeps."""
    for path in folder.glob("strategies/*/rows.parquet"):
        pd.read_parquet(path).drop(columns=WEIGHT, errors="ignore").to_parquet(path, index=False)


@pytest.mark.parametrize("name", EVERY)
def test_weights_of_one_change_no_bit(name, learnt) -> None:
    plain = learnt(name, "plain", lambda rows, split: rows)
    ones = learnt(name, "ones", lambda rows, split: weigh(rows, 1.0))
    without_weights(ones)
    assert_same_version(plain, ones)


@pytest.mark.parametrize("name", EVERY)
def test_a_row_of_weight_0_is_as_if_it_were_not_there(name, learnt) -> None:
    def none_of(rows: pd.DataFrame) -> np.ndarray:
        return np.arange(len(rows)) % 5 != 0

    def zeros(rows: pd.DataFrame, split: str) -> pd.DataFrame:
        return weigh(rows, none_of(rows)) if split == "train" else rows

    def absent(rows: pd.DataFrame, split: str) -> pd.DataFrame:
        return rows[none_of(rows)].reset_index(drop=True) if split == "train" else rows

    weighed = learnt(name, "zeros", zeros)
    without_weights(weighed)
    assert_same_version(weighed, learnt(name, "absent", absent))


@pytest.mark.parametrize("name", EVERY)
def test_weights_change_what_is_learned_and_stay_with_the_rows_that_are_kept(name, learnt) -> None:
    def weights(rows: pd.DataFrame) -> np.ndarray:
        numbers = np.array([int(id.rsplit("-")[-1]) for id in rows["id"]])
        return np.where(numbers % 3 == 0, 20.0, 0.05)  # within each class, and more of one class than of another

    plain = learnt(name, "plain", lambda rows, split: rows)
    heavy = learnt(name, "heavy", lambda rows, split: weigh(rows, weights(rows)) if split == "train" else rows)
    asked = rows_of(["one", "two"], "test")
    ours, theirs = (torch.cat(row_logits(load_learner(version), asked)) for version in (plain, heavy))
    assert ours.isfinite().logical_or(ours.isinf()).all() and not torch.allclose(ours, theirs, atol=1e-4)
    for state in load_states(heavy).values():
        if state.rows is not None:
            given = rows_of(["one", "two"], "train")
            expected = given.assign(w=weights(given)).set_index("id")
            kept = state.rows[state.rows["id"].isin(expected.index)]
            assert kept[WEIGHT].tolist() == expected.loc[kept["id"], "w"].tolist() and len(kept)
