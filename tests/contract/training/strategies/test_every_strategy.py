"""What holds for every file in cl/training/strategies, also for those that are yet to come."""

from __future__ import annotations

import pandas as pd
import pytest
from pydantic import ValidationError

from cl import plugins
from cl.training.strategies import load_states
from cl.training.train import train
from tests.support.task_rows import strategies_for
from tests.support.versions import assert_same_version

SMALL = {"ranpac": {"name": "ranpac", "features": 64}}
"""Strategies whose defaults are too large for a tiny model."""


@pytest.fixture
def config_of(tiny_config, tiny_model):
    """A configuration with one strategy, and what else it asks for."""
    needs = {name: {"tuning": "lora"} for name in ("o_lora", "n_lora", "merge")}

    def make(name: str):
        model = {"name": str(tiny_model), "dropout": 0.0, **needs.get(name, {})}
        return tiny_config(strategy=SMALL.get(name, name), model=model)

    return make


@pytest.fixture
def rows_of(sentences):
    split_seed = {"train": 0, "validation": 100, "test": 200}
    labels = {"one": ["loan", "fee"], "two": ["box", "lamp"]}

    def rows(ids: list[str], split: str) -> pd.DataFrame:
        size = 24 if split == "train" else 8
        parts = [sentences(labels[one], size, seed=split_seed[split] + len(one), prefix=one) for one in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["loan"], 0)

    return rows


@pytest.mark.parametrize("name", strategies_for("text_classification"))
def test_learns_two_experiences_saves_its_state_and_repeats_itself(name, config_of, rows_of, tmp_path) -> None:
    config = config_of(name)
    for attempt in ("a", "b"):
        first, second = tmp_path / attempt / "1", tmp_path / attempt / "2"
        train(config, champion=None, new=["one"], past=[], rows_of=rows_of, folder=first)
        result = train(config, champion=first, new=["two"], past=["one"], rows_of=rows_of, folder=second)
        assert result.labels_added == ["box", "lamp"]
        assert set(load_states(second)) == {name}
    for version in ("1", "2"):
        assert_same_version(tmp_path / "a" / version, tmp_path / "b" / version)
    with pytest.raises(AssertionError):
        assert_same_version(tmp_path / "a" / "1", tmp_path / "a" / "2")


@pytest.mark.parametrize("name", plugins.names("strategies"))
def test_refuses_a_field_it_does_not_have(name) -> None:
    with pytest.raises(ValidationError):
        plugins.build("strategies", {"name": name, "nonsense": 1})


def test_strategies_compose(tiny_config, rows_of, tmp_path) -> None:
    config = tiny_config(strategy=["replay", {"name": "ewc", "strength": 10}])
    train(config, champion=None, new=["one"], past=[], rows_of=rows_of, folder=tmp_path / "1")
    result = train(config, champion=tmp_path / "1", new=["two"], past=["one"], rows_of=rows_of, folder=tmp_path / "2")
    states = load_states(tmp_path / "2")
    assert result.rows_recalled > 0
    assert len(states["replay"].rows) == 48 and states["ewc"].tensors
