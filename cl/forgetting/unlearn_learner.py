"""A learner without some of its rows: exactly where its head was solved for, else without them in what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config, PluginSpec
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.training.strategies import State, Strategy, TrainingData, Update, load_states
from cl.training.strategies._closed_form import ClosedForm


@dataclass(frozen=True)
class UnlearnedLearner:
    """A learner and its strategies' states; ``exact`` when they are those of a learner that never saw the rows."""

    learner: Learner
    states: dict[str, State]
    exact: bool


def unlearn_learner(
    config: Config, folder: Path, ids: set[str], *, past: Callable[[], pd.DataFrame], validation: pd.DataFrame
) -> UnlearnedLearner:
    """Return the learner in a version's folder without rows of these ids.

    Buffers lose the rows. A head that was solved for on features that never moved is solved for again, from sums out
    of which the rows were taken. Weights that were trained keep traces of what they were trained on: then it is not
    exact, and only another training is.

    Args:
        config: what the version was learnt with.
        folder: the version.
        ids: of the rows.
        past: returns all training rows that were learnt, without these.
        validation: the validation rows of all that was learnt, without these.
    """
    learner, states, exact = load_learner(folder), load_states(folder), False
    for name, state in states.items():
        kind = plugins.find("strategies", name)
        if kind.closed:
            strategy = cast(ClosedForm, plugins.build(Strategy, _spec(config, name)))
            states[name], learner = _solved_again(strategy, state, learner, ids, past, validation)
            exact = strategy.adapt == "never"
        elif state.rows is not None:
            rows = state.rows[~state.rows["id"].isin(ids)].reset_index(drop=True)
            states[name] = replace(state, rows=rows)
    return UnlearnedLearner(learner, states, exact)


def _solved_again(
    strategy: ClosedForm,
    state: State,
    learner: Learner,
    ids: set[str],
    past: Callable[[], pd.DataFrame],
    validation: pd.DataFrame,
) -> tuple[State, Learner]:
    """Take the rows out of the sums; where the features of single rows were not kept, sum up the others anew."""
    if state.rows is not None:
        return strategy.forget(state, learner, ids & set(state.rows["id"]), validation)
    rows = past()
    lesson = TrainingData(rows, past=lambda: rows.iloc[:0], rng=np.random.default_rng(0), validation=validation)
    update = Update(State(), lesson, learner)
    solved = strategy.finish(update)
    return strategy.remember(update), solved


def _spec(config: Config, name: str) -> PluginSpec:
    """Return a strategy as the configuration, or a rung of its ladder, describes it."""
    every = config.every_strategy
    return next((one for one in every if one == name or (isinstance(one, dict) and one.get("name") == name)), name)
