"""Train a challenger: the champion, or a pretrained model, learns new experiences without forgetting the old."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl import plugins
from cl.config import Config
from cl.errors import ConfigError, InputError
from cl.models.build import added_parameters, change_tuning, grow_labels, new_learner
from cl.models.inference import count_cut
from cl.models.learner import Learner
from cl.models.persistence import load_learner, save_learner
from cl.models.rewrites import dequantise_learner
from cl.models.warm_start import MAX_ROWS, warm_start_head, with_linear_head
from cl.models.weights import columns_to_learn, learnable
from cl.records import Training
from cl.stores.data.draw import draw_rows
from cl.stores.data.experiences import RowsOf
from cl.training.loop import run_update
from cl.training.pseudo_labels import completing
from cl.training.solve import solve_update
from cl.training.strategies import (
    LearningMethod,
    State,
    Strategy,
    TrainingData,
    Update,
    load_states,
    save_states,
)
from cl.training.strategies._closed_form import ClosedForm

VALIDATION_ROWS = 2_000


@dataclass(frozen=True)
class TrainingStart:
    """Where an update starts: the learner, the champion's labels, and the champion's parameters that were merged.

    ``head_reset``: a new head replaces one that was solved in closed form, and has to be fitted first.
    """

    learner: Learner
    known: list[str] = field(default_factory=list)
    merged: frozenset[str] = frozenset()
    head_reset: bool = False


def train(
    config: Config, *, champion: Path | None, new: list[str], past: list[str], rows_of: RowsOf, folder: Path
) -> Training:
    """Fine-tune on the new experiences and save the challenger.

    Args:
        config: task, model, training and strategy.
        champion: folder of the version to start from; None: start from the pretrained weights.
        new: ids of the experiences to learn, oldest first.
        past: ids of the experiences that the champion has learned.
        rows_of: returns the rows of experiences (ids, split).
        folder: where the challenger is saved; existing content is replaced.

    Raises:
        ConfigError: the pretrained model cannot be loaded, or the strategy cannot start from this champion.
        InputError: there is no row to learn from, or no label applies to any row.
        DivergedError: a loss, a penalty or a weight was not finite.
    """
    seed = training_seed(config.seed, new)
    torch.manual_seed(seed)
    past = [name for name in past if name not in new]  # what is learned again is not past as well

    solver = config.closed_form
    strategies = [] if solver else config.built_strategies
    complete = completing(champion, solves_head=solver is not None)

    def learned_rows(ids: list[str], split: str) -> pd.DataFrame:
        rows = learnable(rows_of(ids, split))
        return complete(rows) if split == "train" else rows

    rows = learned_rows(new, "train")
    start = _prepare_start(config, champion, strategies, solver)
    learner = grow_labels(
        start.learner, start.learner.task.labels(pd.concat([rows, rows_of(new, "validation")])), seed=seed
    )
    if len(rows) and not learner.labels:
        raise InputError(
            "there is nothing to learn: no label applies to any row of the new experiences; add rows with a label"
        )
    own_words = folder.with_name(f"{folder.name}.own-words.json")
    for strategy in strategies:
        rows = strategy.rewrite(learner, rows, own_words)
    lesson = TrainingData(
        rows=rows,
        past=lambda: learned_rows(past, "train"),
        rng=np.random.default_rng(seed),
        validation=validation_rows(rows_of, past + new, seed),
        known=len(start.known),
        held_out=lambda: learned_rows(new, "validation"),
        past_held_out=lambda: learned_rows(past, "validation"),
    )
    states = _drop_removed_parameters(load_states(champion) if champion else {}, start)
    states = _without_relearned(states, new, rows)
    own = {
        strategy.name: _catch_up(strategy, states.get(strategy.name), lesson, learner, past, learned_rows)
        for strategy in strategies
    }
    adapts = solver is not None and solver.trains_encoder
    if start.head_reset or (adapts and not learner.is_closed):
        reads_past = solver is not None or any(strategy.keeps_past for strategy in strategies)
        buffers = [own[strategy.name].rows for strategy in strategies if strategy.keeps_rows]
        known = _warm_start_rows(lesson, buffers, learner.task.schema.names, reads_past=reads_past)
        warm_start_head(learner, known, undecided=adapts)

    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    if solver:
        update = Update(states.get(solver.name, State(experiences=())), lesson, learner)
        outcome = solve_update(solver, update, config.training, checkpoint=checkpoint)
    else:
        updates = [(strategy, Update(own[strategy.name], lesson, learner)) for strategy in strategies]
        outcome = run_update(learner, lesson, updates, config.training, checkpoint=checkpoint)
    learner, result = outcome.learner, outcome.fit
    after = {name: replace(state, experiences=(*past, *new)) for name, state in outcome.states.items()}
    restarted = any(strategy.restarts() for strategy in strategies)
    save_version(learner, _idle_states(states, used=after.keys(), restarted=restarted) | after, folder)
    shutil.rmtree(checkpoint, ignore_errors=True)
    own_words.unlink(missing_ok=True)
    return Training(
        challenger=str(folder),
        experiences=new,
        labels_added=[label for label in learner.labels if label not in start.known],
        epochs=result.epochs,
        steps=result.steps,
        rows_new=len(rows),
        rows_cut=count_cut(learner, rows),
        most_tokens=learner.longest,
        rows_learnt=result.rows_learnt,
        rows_recalled=result.rows_recalled,
        seconds=round(result.seconds, 2),
        validation_score=result.validation_score,
        losses=result.losses,
        validation_scores=result.validation_scores,
    )


def _prepare_start(
    config: Config, champion: Path | None, strategies: list[Strategy], solver: ClosedForm | None
) -> TrainingStart:
    """Return the learner to start from: the pretrained model, or the champion with the configured tuning."""
    if champion is None:
        return TrainingStart(new_learner(config))
    before = dequantise_learner(load_learner(champion))
    if any(strategy.restarts() for strategy in strategies):
        return TrainingStart(grow_labels(new_learner(config), before.labels, seed=config.seed), before.labels)
    head_reset = before.is_closed and (solver is None or solver.adapts_always)
    if head_reset and (holding := [strategy.name for strategy in strategies if strategy.anchored_to == "answers"]):
        raise ConfigError(
            f"strategy: '{holding[0]}' distils the champion's answers, but the champion's head was solved in closed "
            f"form and cannot be trained further; remove '{holding[0]}', keep a closed form (ranpac, slda, ncm), or "
            "start from the pretrained weights with {name: joint, restart: true}"
        )
    merged = added_parameters(before) if before.settings.tuning != config.model.tuning else frozenset()
    learner = change_tuning(before, config.model)
    return TrainingStart(with_linear_head(learner) if head_reset else learner, before.labels, merged, head_reset)


def _drop_removed_parameters(states: dict[str, State], start: TrainingStart) -> dict[str, State]:
    """Return the states without tensors of removed parameters.

    A later LoRA, or a head that replaces one solved in closed form, has other parameters under the same names.
    """

    def is_removed(parameter: str) -> bool:
        return parameter in start.merged or (start.head_reset and parameter.startswith("head."))

    return {
        name: replace(
            state,
            tensors={key: tensor for key, tensor in state.tensors.items() if not is_removed(key.partition(".")[2])},
        )
        for name, state in states.items()
    }


def _without_relearned(states: dict[str, State], new: list[str], rows: pd.DataFrame) -> dict[str, State]:
    """Return the states without what they hold of experiences that are learned again.

    Buffers lose the rows; a closed form, whose sums cover all rows, covers none any more.
    """

    def kept(name: str, state: State) -> State:
        if not set(new) & set(state.experiences or ()):
            return state
        if plugins.find(LearningMethod, name).solves_head:
            return replace(state, rows=None, experiences=())
        if state.rows is None or "id" not in state.rows:
            return state
        return replace(state, rows=state.rows[~state.rows["id"].isin(rows["id"])].reset_index(drop=True))

    return {name: kept(name, state) for name, state in states.items()}


def _catch_up(
    strategy: Strategy, state: State | None, lesson: TrainingData, learner: Learner, past: list[str], rows_of: RowsOf
) -> State:
    """Return a strategy's state, after offering its buffer the rows of experiences that were learned without it.

    Otherwise the buffer would lack the classes that a closed form learned without replay.
    """
    known = State(experiences=()) if state is None else state
    missed = [] if known.experiences is None else [name for name in past if name not in known.experiences]
    if not (strategy.keeps_rows and missed):
        return known
    rows = rows_of(missed, "train")
    if rows.empty:
        return known
    update = Update(known, replace(lesson, rows=rows), learner)
    strategy.begin(update)
    return strategy.end(update)


def _warm_start_rows(
    lesson: TrainingData, buffers: list[pd.DataFrame | None], columns: tuple[str, ...], *, reads_past: bool
) -> pd.DataFrame:
    """Return the rows to fit a new head on: new rows, buffered rows, and all past rows if the update reads them."""
    kept = [rows for rows in buffers if rows is not None]
    past = [lesson.past()] if reads_past else []
    parts = [part[columns_to_learn(part, columns)] for part in [lesson.rows, *kept, *past]]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.drop_duplicates("id", ignore_index=True)
    return rows if len(rows) <= MAX_ROWS else rows.iloc[sorted(lesson.rng.permutation(len(rows))[:MAX_ROWS])]


def _idle_states(states: dict[str, State], *, used: Collection[str], restarted: bool) -> dict[str, State]:
    """Return the states of strategies that took no part in this update, to keep them for a later one.

    Dropped are the sums of closed forms, which must cover all rows, and, after a restart from the pretrained weights,
    the states of strategies that hold on to the champion.
    """
    idle = [name for name in plugins.names("strategies") if name in states and name not in used]
    kinds = {name: plugins.find(LearningMethod, name) for name in idle}
    return {
        name: states[name] for name, kind in kinds.items() if not (kind.solves_head or (restarted and kind.anchored_to))
    }


def save_version(learner: Learner, states: dict[str, State], folder: Path) -> None:
    """Write a learner and the strategies' states into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_learner(learner, folder)
    save_states(states, folder)


def training_seed(seed: int, experiences: list[str]) -> int:
    """Return the seed of one update: it depends on the experiences and is the same in every run."""
    key = f"{seed}:{','.join(experiences)}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")


def validation_rows(rows_of: RowsOf, experiences: list[str], seed: int) -> pd.DataFrame:
    """Return validation rows of all experiences so far: those of the new ones alone would reward forgetting."""
    return draw_rows(rows_of, experiences, ("validation",), most=VALIDATION_ROWS, seed=seed)
