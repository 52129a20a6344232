"""Give a learner other labels: by name alone where labels are renamed, else by a new head over the same encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.models.inference import row_logits
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.models.warm_start import MAX_ROWS, warm_start_head, with_linear_head
from cl.models.weights import learnable
from cl.stores.data.label_changes import Relabelling
from cl.tasks import Column, ValueKind
from cl.training.strategies import State, load_states
from cl.training.strategies._closed_form import ADAPTED
from cl.training.strategies.der import LOGITS
from cl.training.unlearn_learner import closed_forms, solve_over


@dataclass(frozen=True)
class RelabelledLearner:
    """A learner with other labels, and its strategies' states."""

    learner: Learner
    states: dict[str, State]


def rename_labels(folder: Path, change: Relabelling) -> RelabelledLearner:
    """Return the learner in a version's folder with renamed labels: every answer stays the same but for its name."""
    learner, states = load_learner(folder), load_states(folder)
    labels = change.head(learner.labels, tags=learner.task.schema.answer.kind is ValueKind.TAGS)
    answer = learner.task.schema.answer
    return RelabelledLearner(
        replace(learner, labels=labels),
        {name: _under_new_names(state, change, answer) for name, state in states.items()},
    )


def relabel_learner(
    config: Config,
    folder: Path,
    change: Relabelling,
    *,
    past: Callable[[str], pd.DataFrame],
    validation: pd.DataFrame,
) -> RelabelledLearner:
    """Return the learner in a version's folder with a head for the new labels over the same encoder.

    A closed form is solved again over all rows, which equals learning them under the new labels in the first place. A
    linear head is fitted again by logistic regression on features of past rows, as before an update that replaces a
    closed form; what strategies keep of the old head is dropped.

    Args:
        config: the configuration that the version was trained with.
        folder: the version.
        change: of the labels.
        past: returns all rows of a split, of all past experiences, under the new labels.
        validation: those validation rows by which a solution is chosen.
    """
    before, states = load_learner(folder), load_states(folder)
    answer = before.task.schema.answer
    learner = replace(before, labels=change.head(before.labels, tags=answer.kind is ValueKind.TAGS), graph=None)
    states = {name: _under_new_names(state, change, answer) for name, state in states.items()}
    solver = next(iter(closed_forms(config, states)), None)
    if before.is_closed and solver:
        known = states[solver.name]
        adapted = bool(known.tensors.get(ADAPTED, False))
        state, learner = solve_over(solver, learner, past, validation, adapted=adapted)
        return RelabelledLearner(learner, states | {solver.name: replace(state, experiences=known.experiences)})
    learner = with_linear_head(learner)
    rows = learnable(past("train"))
    warm_start_head(learner, rows if len(rows) <= MAX_ROWS else rows.sample(MAX_ROWS, random_state=config.seed))
    return RelabelledLearner(learner, {name: _for_head_of(learner, state) for name, state in states.items()})


def _under_new_names(state: State, change: Relabelling, answer: Column) -> State:
    """Return a state whose buffer has the new labels; a closed form keeps features instead, which have none."""
    if state.rows is None or answer.name not in state.rows:
        return state
    return replace(state, rows=change.rows(state.rows, answer).reset_index(drop=True))


def _for_head_of(learner: Learner, state: State) -> State:
    """Return a state without tensors of an earlier head, and with the learner's own answers to the rows it keeps."""
    tensors = {key: value for key, value in state.tensors.items() if not key.partition(".")[2].startswith("head.")}
    rows = state.rows
    if rows is not None and LOGITS in rows:
        answers = [list(logits.numpy()) for logits in row_logits(learner, rows.drop(columns=LOGITS))]
        rows = rows.assign(**{LOGITS: pd.Series(answers, index=rows.index, dtype=object)})
    return replace(state, rows=rows, tensors=tensors)
