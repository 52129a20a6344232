"""Remove rows from a learner: exactly for a closed-form head, else only from the rows that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cl import plugins
from cl.config import Config, PluginSpec
from cl.models.inference import choose_thresholds
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.models.weights import learnable
from cl.training.strategies import LearningMethod, State, TrainingData, Update, load_states
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
    solvers = {solver.name: solver for solver in closed_forms(config, states)}
    for name, state in states.items():
        if solver := solvers.get(name):
            states[name], learner = _solve_again(solver, state, learner, ids, past, validation)
            learner = _choose_thresholds_again(solver, states[name], learner, validation)
            exact = not solver.trains_encoder
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
    method: ClosedForm,
    state: State,
    learner: Learner,
    ids: set[str],
    past: Callable[[str], pd.DataFrame],
    validation: pd.DataFrame,
) -> tuple[State, Learner]:
    """Subtract the rows from the sums; if their features were not kept, sum over the other rows again."""
    if state.rows is not None:
        return method.forget(state, learner, ids & set(state.rows["id"]), validation)
    return solve_over(method, learner, past, validation)


def solve_over(
    method: ClosedForm,
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
    solved = method.solve(Update(State(), lesson, learner))
    return solved.state, solved.learner


def closed_forms(config: Config, names: Iterable[str]) -> list[ClosedForm]:
    """Return the closed forms among methods of these names, with the settings that a configuration gives them."""
    solving = [name for name in names if plugins.find(LearningMethod, name).solves_head]
    return [plugins.build(ClosedForm, _find_spec(config, name)) for name in solving]


def _find_spec(config: Config, name: str) -> PluginSpec:
    """Return a strategy's entry in the configuration, or in a rung of its ladder."""
    every = config.every_strategy
    return next((spec for spec in every if spec == name or (isinstance(spec, dict) and spec.get("name") == name)), name)
