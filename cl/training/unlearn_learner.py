"""Remove rows from a learner: exactly for a closed-form head, else only from the rows that it keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config, PluginSpec
from cl.models.inference import choose_thresholds
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.models.weights import learnable
from cl.training.strategies import State, Strategy, TrainingData, Update, load_states
from cl.training.strategies._closed_form import ClosedForm


@dataclass(frozen=True)
class UnlearnedLearner:
    """A learner and its strategies' states; ``exact``: they equal those of a learner that never saw the rows."""

    learner: Learner
    states: dict[str, State]
    exact: bool


def unlearn_learner(
    config: Config, folder: Path, ids: set[str], *, past: Callable[[str], pd.DataFrame], validation: pd.DataFrame
) -> UnlearnedLearner:
    """Return the learner in a version's folder without the rows of these ids.

    The rows are removed from buffers. A closed-form head on frozen features is solved again from sums without the rows.
    Trained weights keep traces of their training rows: then the result is not exact, and only retraining is.

    Args:
        config: the configuration that the version was trained with.
        folder: the version.
        ids: of the rows.
        past: returns all other rows of a split, of all past experiences.
        validation: those validation rows by which a solution is chosen.
    """
    learner, states, exact = load_learner(folder), load_states(folder), False
    for name, state in states.items():
        kind = plugins.find("strategies", name)
        if kind.is_closed_form:
            strategy = cast(ClosedForm, plugins.build(Strategy, find_spec(config, name)))
            states[name], learner = _solve_again(strategy, state, learner, ids, past, validation)
            learner = _choose_thresholds_again(strategy, states[name], learner, validation)
            exact = not strategy.trains_encoder
        elif state.rows is not None:
            rows = state.rows[~state.rows["id"].isin(ids)].reset_index(drop=True)
            states[name] = replace(state, rows=rows)
    return UnlearnedLearner(learner, states, exact)


def _choose_thresholds_again(strategy: ClosedForm, state: State, learner: Learner, validation: pd.DataFrame) -> Learner:
    """Return the learner with thresholds that no removed row has had a part in, if its task has thresholds."""
    if not learner.task.has_thresholds:
        return learner
    answers_learned = strategy.learns_validation and len(validation) > 0
    logits = strategy.left_out(learner, state)(validation) if answers_learned else None
    return choose_thresholds(learner, validation, logits=logits)


def _solve_again(
    strategy: ClosedForm,
    state: State,
    learner: Learner,
    ids: set[str],
    past: Callable[[str], pd.DataFrame],
    validation: pd.DataFrame,
) -> tuple[State, Learner]:
    """Subtract the rows from the sums; if their features were not kept, sum over the other rows again."""
    if state.rows is not None:
        return strategy.forget(state, learner, ids & set(state.rows["id"]), validation)
    return solve_over(strategy, learner, past, validation)


def solve_over(
    strategy: ClosedForm,
    learner: Learner,
    past: Callable[[str], pd.DataFrame],
    validation: pd.DataFrame,
    *,
    adapted: bool = False,
) -> tuple[State, Learner]:
    """Return state and learner with a head that is solved over all past rows; ``adapted``: as in `Learned`."""
    rows = learnable(past("train"))
    lesson = TrainingData(
        rows,
        past=lambda: rows.iloc[:0],
        rng=np.random.default_rng(0),
        validation=validation,
        known=int(adapted),
        held_out=lambda: learnable(past("validation")),
    )
    update = Update(State(), lesson, learner)
    solved = strategy.finish(update)
    return strategy.remember(update), solved


def find_spec(config: Config, name: str) -> PluginSpec:
    """Return a strategy's entry in the configuration, or in a rung of its ladder."""
    every = config.every_strategy
    return next((spec for spec in every if spec == name or (isinstance(spec, dict) and spec.get("name") == name)), name)
