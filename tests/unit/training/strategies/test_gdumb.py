from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest

from cl.config import parse
from cl.errors import ConfigError
from cl.models.build import new_learner
from cl.training.strategies import State, load_states
from cl.training.strategies.gdumb import GDumb
from cl.training.train import train


@pytest.fixture
def learner(tiny_config):
    return new_learner(tiny_config())


def test_the_buffer_is_balanced_over_old_and_new_and_is_all_that_is_learnt(learner, update_of, sentences) -> None:
    gdumb, state = GDumb(rows=12), State()
    for number, (labels, share) in enumerate(((["loan", "fee"], 6), (["box"], 4), (["lamp"], 3))):
        update = update_of(learner, sentences(labels, 20, seed=number), state)
        gdumb.begin(update)
        new, old = gdumb.epoch_rows(update)
        learnt = pd.concat([new, old]) if old is not None else new
        assert set(Counter(learnt["label"]).values()) == {share}
        assert set(new["label"]) == set(labels)
        state = gdumb.end(update)
        assert set(state.rows["id"]) == set(learnt["id"]) and len(state.rows) == 12
        assert (state.rows["class"] == state.rows["label"]).all()
    assert state.seen == 60


def test_every_epoch_learns_the_same_rows(learner, update_of, sentences) -> None:
    gdumb, update = GDumb(rows=5), update_of(learner, sentences(["loan", "fee"], 40))
    gdumb.begin(update)
    assert gdumb.epoch_rows(update).new.equals(gdumb.epoch_rows(update).new)
    assert gdumb.epoch_rows(update).past is None


def test_a_budget_in_bytes(learner, update_of, sentences) -> None:
    update = update_of(learner, sentences(["loan", "fee"], 40))
    gdumb = GDumb(bytes=200)
    gdumb.begin(update)
    assert 0 < sum(map(len, gdumb.epoch_rows(update).new["text"])) <= 200


def test_an_update_starts_afresh_and_learns_no_more_than_the_buffer(tiny_config, sentences, tmp_path) -> None:
    config = tiny_config(strategy={"name": "gdumb", "rows": 16})
    parts = {"one": ["loan", "fee"], "two": ["box", "lamp"]}

    def rows_of(ids, split):
        return pd.concat([sentences(parts[one], 24, prefix=one) for one in ids], ignore_index=True)

    train(config, champion=None, new=["one"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    result = train(config, champion=tmp_path / "1", new=["two"], past=["one"], rows_of=rows_of, folder=tmp_path / "2")
    assert result.steps == result.epochs * 2 and result.rows_recalled == result.epochs * 8
    assert Counter(load_states(tmp_path / "2")["gdumb"].rows["label"]) == dict.fromkeys(
        ["loan", "fee", "box", "lamp"], 4
    )


@pytest.mark.parametrize("other", ["lwf", "ewc", "si", "mas", "averaging"])
@pytest.mark.parametrize("order", [1, -1])
def test_who_needs_the_champion_is_refused(other, order) -> None:
    with pytest.raises(ConfigError, match=f"strategy: {other}: it holds on to the champion's .* 'gdumb' starts every"):
        parse({"strategy": ["gdumb", other][::order]}, where="x")


@pytest.mark.parametrize("other", ["joint", "replay", "der"])
@pytest.mark.parametrize("order", [1, -1])
def test_who_recalls_other_rows_is_refused(other, order) -> None:
    with pytest.raises(ConfigError, match=r"it recalls past rows, and so does '.*'"):
        parse({"strategy": ["gdumb", other][::order]}, where="x")


def test_alone_it_is_a_configuration() -> None:
    parse({"strategy": "gdumb"}, where="x")
