"""Every strategy with every tuning and beside every other: refused with a reason, or it learns."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd
import pytest
import torch

from cl import plugins
from cl.config import Config, parse
from cl.errors import ConfigError
from cl.models.inference import answer
from cl.models.persistence import load_learner
from cl.training.strategies import LearningMethod
from cl.training.train import train
from tests.support.task_rows import strategies_for

STREAM = {"one": ["loan", "fee"], "two": ["box", "loan"], "three": ["lamp", "fee"]}
SMALL = {"ranpac": {"name": "ranpac", "features": 64}}
"""Strategies whose defaults are too large for a tiny model."""
TWO_NATURED = [{"name": "ncm", "adapt": "first"}, {"name": "joint", "restart": True}]
"""Strategies that a field makes into another one."""
ALL = [SMALL.get(name, name) for name in strategies_for("text_classification")] + TWO_NATURED
COMPANY = [one for one in ALL if one != "naive"]
"""What a pair is made of: `naive` does nothing, in company as well."""
TUNINGS = plugins.names("tunings")
MOST, SHARES = 4, 12
"""Strategies that an update of the covering array holds at most; and tests that share the array."""


def named(value: object) -> str:
    return "-".join(map(str, value.values())) if isinstance(value, dict) else str(value)


@pytest.fixture
def rows_of(sentences):
    def rows(ids: list[str], split: str) -> pd.DataFrame:
        size = 8 if split == "train" else 2
        parts = [sentences(STREAM[one], size, seed=len(split), prefix=one) for one in ids]
        return pd.concat(parts, ignore_index=True) if parts else sentences(["loan"], 0)

    return rows


@pytest.fixture(scope="module")
def config_of(tiny_model: Path) -> Callable[[object, str], Config | str]:
    """A configuration, or the reason for which there is none."""

    def make(strategy: object, tuning: str) -> Config | str:
        raw = {
            "strategy": strategy,
            "model": {"name": str(tiny_model), "dropout": 0.0, "tuning": tuning, "max_length": 32},
            "training": {"epochs": 1, "batch_size": 8, "precision": "float32"},
            "drift": {"detectors": []},
        }
        try:
            return parse(raw, where="test")
        except ConfigError as error:
            return str(error)

    return make


@pytest.fixture
def learns(rows_of, tmp_path):
    """Learn the first experiences of the stream and ask the last version about all of them."""

    def run(config: Config, name: str = "one", experiences: int = len(STREAM)) -> None:
        champion, past = None, []
        for new in list(STREAM)[:experiences]:
            folder = tmp_path / name / new
            done = train(config, champion=champion, new=[new], past=past, rows_of=rows_of, folder=folder)
            assert all(math.isfinite(loss) for loss in done.losses)
            champion, past = folder, [*past, new]
        learner, rows = load_learner(champion), rows_of(past, "test")
        assert set(learner.labels) == {label for one in past for label in STREAM[one]}
        assert all(torch.isfinite(parameter).all() for _, parameter in learner.parameters())
        assert all(0 < one.confidence <= 1 for one in answer(learner, rows).predictions)

    return run


Update = tuple[tuple[int, ...], str]
"""Strategies by their place in ALL, and a tuning."""


@pytest.fixture(scope="module")
def legal(config_of) -> Callable[[Update], bool]:
    """Tells whether a configuration admits strategies together, with a tuning."""

    @functools.cache
    def asked(update: Update) -> bool:
        return not isinstance(config_of([ALL[at] for at in update[0]], update[1]), str)

    return asked


def tuning_of(strategies: Iterable[object]) -> str:
    """Return a tuning that all of these work with, if they work together."""
    return "lora" if {"o_lora", "n_lora", "merge"} & set(map(named, strategies)) else "full"


def pairs_of(update: Update) -> set[tuple[object, object]]:
    """Return every pair of a strategy and the tuning, and of two strategies, that an update learns with."""
    strategies, tuning = update
    return {(at, tuning) for at in strategies} | set(itertools.combinations(sorted(strategies), 2))


@pytest.fixture(scope="module")
def covering(legal) -> list[Update]:
    """Few updates in which each pair that is admitted comes at least once, as a greedy search finds them."""
    wanted: set[tuple[object, object]] = set()
    singles = [((at,), tuning) for at in range(len(ALL)) for tuning in TUNINGS if legal(((at,), tuning))]
    company = itertools.combinations([at for at, one in enumerate(ALL) if one != "naive"], 2)
    doubles = [(pair, tuning) for pair in company if legal((pair, tuning := tuning_of([ALL[at] for at in pair])))]
    for update in (*singles, *doubles):
        wanted |= pairs_of(update)
    chosen = []
    while wanted:
        best = max((*singles, *doubles), key=lambda update: len(pairs_of(update) & wanted))
        for at in range(len(ALL)):
            more = ((*best[0], at), best[1])
            if len(best[0]) < MOST and at not in best[0] and pairs_of(more) & wanted - pairs_of(best) and legal(more):
                best = more
        chosen.append(best)
        wanted -= pairs_of(best)
    return chosen


def test_what_contradicts_nothing_is_not_refused(config_of) -> None:
    for tuning in TUNINGS:
        assert not isinstance(config_of("naive", tuning), str)
    trained = []
    for spec in ALL:
        method: LearningMethod = plugins.build("strategies", spec)  # type: ignore[call-overload]
        if not method.solves_head and spec not in ("naive", "o_lora", "n_lora", "merge"):
            trained.append(spec)
    for other in trained:
        assert not isinstance(config_of(["naive", other], "full"), str)


def test_a_strategy_and_a_tuning_that_do_not_go_together_are_refused_with_the_reason(config_of) -> None:
    refused = 0
    for strategy, tuning in itertools.product(ALL, TUNINGS):
        config = config_of(strategy, tuning)
        if isinstance(config, str):
            refused += 1
            assert config.startswith(f"test: strategy: {named(strategy).split('-')[0]}: ") and "tuning" in config
    assert 0 < refused < len(ALL) * len(TUNINGS) / 2


def test_two_strategies_that_do_not_go_together_are_refused_with_the_reason_in_either_order(config_of) -> None:
    refused, pairs = 0, list(itertools.combinations(COMPANY, 2))
    for pair in pairs:
        tuning = tuning_of(pair)
        config, reversed_ = config_of(list(pair), tuning), config_of(list(pair[::-1]), tuning)
        assert isinstance(config, str) == isinstance(reversed_, str), pair
        if isinstance(config, str):
            refused += 1
            assert any(
                reason in config for reason in ("leave one of the two out", "use it alone", "list each strategy once")
            )
    assert 0 < refused < 0.8 * len(pairs)


@pytest.mark.parametrize("share", range(SHARES))
def test_each_pair_that_is_admitted_learns(share, covering, config_of, learns) -> None:
    """Every strategy with every tuning and with every other, some of them at once; at night each pair alone."""
    assert {tuning for _, tuning in covering} == set(TUNINGS) and {at for one, _ in covering for at in one} == set(
        range(len(ALL))
    )
    for strategies, tuning in covering[share::SHARES]:
        config = config_of([ALL[at] for at in strategies], tuning)
        learns(config, f"{strategies} {tuning}", experiences=2)


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", ALL, ids=named)
@pytest.mark.parametrize("tuning", TUNINGS)
def test_a_strategy_learns_with_a_tuning_or_says_why_not(strategy, tuning, config_of, learns) -> None:
    if not isinstance(config := config_of(strategy, tuning), str):
        learns(config)


@pytest.mark.nightly
@pytest.mark.parametrize("pair", itertools.combinations(COMPANY, 2), ids=lambda pair: "+".join(map(named, pair)))
def test_two_strategies_learn_together_or_say_why_not(pair, config_of, learns) -> None:
    if not isinstance(config := config_of(list(pair), tuning_of(pair)), str):
        learns(config)
