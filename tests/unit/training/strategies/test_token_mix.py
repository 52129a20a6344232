"""Replay of language models: the mix is counted in the tokens that are learned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cl.config import parse
from cl.errors import ConfigError
from cl.evaluation.text_files import read_general
from cl.models.build import grow_labels, new_learner
from cl.tasks import IGNORED
from cl.tasks.dialogue import Dialogue
from cl.testing import tiny_tokenizer
from cl.training.strategies import State
from cl.training.strategies._token_mix import GENERAL, draw_tokens, learned_tokens
from cl.training.strategies.replay import Replay
from tests.support.task_rows import config_of
from tests.unit.tasks.test_prompts import CHAT


@pytest.fixture(params=["text_generation", "language_modelling"])
def writer(request, tiny_model):
    return grow_labels(new_learner(config_of(tiny_model, request.param)), ["text"], seed=0)


def texts(lengths: list[int], prefix: str) -> pd.DataFrame:
    """Rows of which so many words are learned, and the end; a prompt is read and does not count."""
    learned = [" ".join(["card"] * words) for words in lengths]
    ids = [f"{prefix}{row}" for row in range(len(lengths))]
    return pd.DataFrame({"id": ids, "prompt": "please help me", "text": learned, "completion": learned})


def recalled(writer, update_of, ratio: float, seed: int, *, past: list[int], general: float = 0.0) -> pd.DataFrame:
    """What an epoch recalls beside new rows of 100 learned tokens, twenty each."""
    update = update_of(writer, texts([19] * 5, "new"), State(rows=texts(past, "past")), seed=seed)
    return Replay(ratio=ratio, general=general).epoch_rows(update).past


def test_the_ratio_is_that_of_learned_tokens(writer, update_of) -> None:
    assert learned_tokens(writer, texts([1, 2, 19], "x")).tolist() == [2, 3, 20]
    rows = recalled(writer, update_of, 0.5, 0, past=[4] * 40)
    assert len(rows) == 10 and rows["id"].is_unique, "50 tokens are ten rows of five, whatever five new rows are"
    assert len(recalled(writer, update_of, 0.2, 0, past=[19] * 40)) == 1, "and one of twenty"
    assert len(recalled(writer, update_of, 9.0, 0, past=[19] * 7)) == 7, "a smaller buffer is used whole"


def test_a_text_longer_than_the_share_comes_as_often_as_the_share_says(writer, update_of) -> None:
    """5 tokens of 100, from texts of 20: one epoch in four has one."""
    times = [len(recalled(writer, update_of, 0.05, seed, past=[19] * 3)) for seed in range(200)]
    assert set(times) == {0, 1} and 0.15 < np.mean(times) < 0.35


def test_rows_of_any_length_have_the_budget_in_the_mean() -> None:
    counts, rng = np.array([1, 7, 30, 2, 90, 15]), np.random.default_rng(0)
    drawn = [int(counts[draw_tokens(counts, 40.0, rng)].sum()) for _ in range(4_000)]
    assert np.mean(drawn) == pytest.approx(40.0, rel=0.05)


def test_general_texts_join_every_epoch_and_stay_out_of_the_buffer(writer, update_of) -> None:
    update = update_of(writer, texts([19] * 50, "new"))
    replay = Replay(general=0.1)
    rows = replay.epoch_rows(update).past
    general = set(GENERAL.read_text(encoding="utf-8").splitlines())
    column = "text" if "completion" not in rows else "completion"
    assert set(rows[column]) <= general
    tokens = int(learned_tokens(writer, rows).sum())
    assert 70 <= tokens <= 130, "a tenth of 1,000, but for the last text"
    assert set(replay.epoch_rows(update).past["id"]) != set(rows["id"]), "others in the next epoch"
    assert not set(replay.end(update).rows["id"]) & set(rows["id"])


@pytest.mark.parametrize("template", [None, CHAT])
def test_a_general_text_is_learned_whole_and_without_a_template(template) -> None:
    tokenizer = tiny_tokenizer(chat_template=template)
    (row,) = Dialogue().encode(Dialogue().general_rows(["ab"]), tokenizer, ["text"], max_length=8)
    assert row.input_ids == [1, 4, 5, 1] and [id for id in row.targets if id != IGNORED] == [4, 5, 1]
    assert row.context.positions == [0, 1, 2]


def test_no_general_text_is_one_that_the_early_sign_is_measured_on() -> None:
    learned, measured = GENERAL.read_text(encoding="utf-8").splitlines(), read_general(None, Path())
    assert len(learned) == len(set(learned)) >= 60 and not set(learned) & set(measured)
    starts = {" ".join(text.split()[:4]) for text in measured}
    assert not [text for text in learned if " ".join(text.split()[:4]) in starts]


def test_general_texts_are_refused_where_no_language_model_learns() -> None:
    with pytest.raises(ConfigError, match="general: task 'text_classification' has no language model") as refused:
        parse({"strategy": {"name": "replay", "general": 0.05}}, where="test")
    assert "\n" not in str(refused.value)
