"""Every strategy with every tuning and beside every other: refused with a reason, or it learns."""

from __future__ import annotations

import itertools
import math

import pandas as pd
import pytest
import torch

from cl import plugins
from cl.config import Config
from cl.errors import ConfigError
from cl.train import train
from cl.training.inference import answer
from cl.training.learner import load_learner

STREAM = {"one": ["loan", "fee"], "two": ["box", "loan"], "three": ["lamp", "fee"]}
SMALL = {"ranpac": {"name": "ranpac", "features": 64}}
"""Strategies whose defaults are too large for a tiny model."""
TWO_NATURED = [{"name": "ncm", "adapt": "first"}, {"name": "joint", "restart": True}]
"""Strategies that a field makes into another one."""
ALL = [SMALL.get(name, name) for name in plugins.names("strategies")] + TWO_NATURED
COMPANY = [one for one in ALL if one != "naive"]
"""What a pair is made of: `naive` does nothing, in company as well."""


def named(value: object) -> str:
    return "-".join(map(str, value.values())) if isinstance(value, dict) else str(value)


@pytest.fixture
def rows_of(sentences):
    def rows(ids: list[str], split: str) -> pd.DataFrame:
        size = 8 if split == "train" else 2
        parts = [sentences(STREAM[one], size, seed=len(split), prefix=one) for one in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["loan"], 0)

    return rows


@pytest.fixture
def config_of(tiny_config, tiny_model):
    """A configuration, or the reason for which there is none."""

    def make(strategy, tuning: str) -> Config | str:
        try:
            return tiny_config(
                strategy=strategy,
                model={"name": str(tiny_model), "dropout": 0.0, "tuning": tuning, "max_length": 32},
                training={"epochs": 1, "batch_size": 8, "precision": "float32"},
            )
        except ConfigError as error:
            return str(error)

    return make


@pytest.fixture
def learns(rows_of, tmp_path):
    """Learn three experiences and ask the last version about all of them."""

    def run(config: Config) -> None:
        champion, past = None, []
        for new in STREAM:
            folder = tmp_path / new
            done = train(config, champion=champion, new=[new], past=past, rows_of=rows_of, folder=folder)
            assert all(math.isfinite(loss) for loss in done.losses)
            champion, past = folder, [*past, new]
        learner, rows = load_learner(champion), rows_of(past, "test")
        assert set(learner.labels) == {"loan", "fee", "box", "lamp"}
        assert all(torch.isfinite(parameter).all() for _, parameter in learner.parameters())
        assert all(0 < one.confidence <= 1 for one in answer(learner, rows).predictions)

    return run


@pytest.mark.parametrize("strategy", ALL, ids=named)
@pytest.mark.parametrize("tuning", plugins.names("tunings"))
def test_a_strategy_learns_with_a_tuning_or_says_why_not(strategy, tuning, config_of, learns) -> None:
    config = config_of(strategy, tuning)
    if isinstance(config, str):
        assert config.startswith(f"test: strategy: {named(strategy).split('-')[0]}: ") and "tuning" in config
    else:
        learns(config)


@pytest.mark.parametrize("pair", itertools.combinations(COMPANY, 2), ids=lambda pair: "+".join(map(named, pair)))
def test_two_strategies_learn_together_or_say_why_not(pair, config_of, learns) -> None:
    tuning = "lora" if "o_lora" in pair else "full"
    config, reversed_ = config_of(list(pair), tuning), config_of(list(pair[::-1]), tuning)
    assert isinstance(config, str) == isinstance(reversed_, str)
    if isinstance(config, str):
        assert any(reason in config for reason in ("leave one of the two out", "use it alone", "each may be listed"))
    else:
        learns(config)


def test_what_contradicts_nothing_is_not_refused(config_of) -> None:
    for tuning in plugins.names("tunings"):
        assert not isinstance(config_of("naive", tuning), str)
    trained = [one for one in ALL if not plugins.build("strategies", one).closed and one not in ("naive", "o_lora")]
    for other in trained:
        assert not isinstance(config_of(["naive", other], "full"), str)
