"""Train a challenger: the champion, or a pretrained model, learns new experiences without losing the old."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl import plugins
from cl.config import Config
from cl.errors import ConfigError
from cl.models.build import added_parameters, change_tuning, grow_labels, new_learner
from cl.models.learner import Learner
from cl.models.persistence import load_learner, save_learner
from cl.models.rewrites import to_float
from cl.models.warm_start import MOST_ROWS, warm_start_head, with_linear_head
from cl.records import Training
from cl.stores.data.experiences import RowsOf
from cl.training.loop import run_update
from cl.training.strategies import State, Strategy, TrainingData, Update, load_states, save_states

VALIDATION_ROWS = 2_000


@dataclass(frozen=True)
class TrainingStart:
    """Where an update starts: the labels that the champion knows, and the parameters that have been merged since.

    ``anew``: its head takes the place of one that was solved for, and has to be fitted first.
    """

    learner: Learner
    known: list[str] = field(default_factory=list)
    merged: frozenset[str] = frozenset()
    anew: bool = False


def train(
    config: Config, *, champion: Path | None, new: list[str], past: list[str], rows_of: RowsOf, folder: Path
) -> Training:
    """Fine-tune on the new experiences and save the challenger.

    Args:
        config: task, model, training and strategy.
        champion: folder of the version to start from; None starts from the pretrained weights.
        new: ids of the experiences to learn, oldest first.
        past: ids of the experiences that the champion has learnt.
        rows_of: returns the rows of experiences (ids, split).
        folder: where the challenger is saved; whatever lies there is replaced.

    Raises:
        ConfigError: the pretrained model cannot be loaded.
        DivergedError: the loss was not finite.
    """
    seed = training_seed(config.seed, new)
    torch.manual_seed(seed)
    rows, strategies = rows_of(new, "train"), config.built
    start = _start(config, champion, afresh=any(one.restarts() for one in strategies))
    learner = grow_labels(
        start.learner, start.learner.task.labels(pd.concat([rows, rows_of(new, "validation")])), seed=seed
    )
    lesson = TrainingData(
        rows=rows,
        past=lambda: rows_of(past, "train"),
        rng=np.random.default_rng(seed),
        validation=validation_rows(rows_of, past + new, seed),
        known=len(start.known),
    )
    states = _without(load_states(champion) if champion else {}, start)
    own = {one.name: _caught_up(one, states.get(one.name), lesson, learner, past, rows_of) for one in strategies}
    if start.anew:
        warm_start_head(learner, _at_hand(lesson, strategies, own))
    updates = [(one, Update(own[one.name], lesson, learner)) for one in strategies]

    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    learner, result, updates = run_update(learner, lesson, updates, config.training, checkpoint=checkpoint)
    everything = (*past, *new)
    after = {one.name: replace(one.remember(update), experiences=everything) for one, update in updates}
    save_version(learner, _idle(states, strategies) | after, folder)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return Training(
        challenger=str(folder),
        experiences=new,
        labels_added=[label for label in learner.labels if label not in start.known],
        epochs=result.epochs,
        steps=result.steps,
        rows_new=len(rows),
        rows_learnt=result.rows_learnt,
        rows_recalled=result.rows_recalled,
        seconds=round(result.seconds, 2),
        validation_score=result.validation_score,
        losses=result.losses,
    )


def _start(config: Config, champion: Path | None, *, afresh: bool) -> TrainingStart:
    """Return the learner that this update starts from: pretrained, or the champion in the tuning asked for."""
    if champion is None:
        return TrainingStart(new_learner(config))
    before = to_float(load_learner(champion))
    if afresh:
        return TrainingStart(grow_labels(new_learner(config), before.labels, seed=config.seed), before.labels)
    anew = before.is_closed and not any(one.closed for one in config.built)
    if anew and (holding := [one.name for one in config.built if one.holds == "answers"]):
        raise ConfigError(
            f"strategy: '{holding[0]}' holds the champion's answers, whose head was solved in closed form and cannot "
            "be trained on; leave it out, keep a closed form (ranpac, slda, ncm), or start again with {name: joint, "
            "restart: true}"
        )
    merged = added_parameters(before) if before.settings.tuning != config.model.tuning else frozenset()
    learner = change_tuning(before, config.model)
    return TrainingStart(with_linear_head(learner) if anew else learner, before.labels, merged, anew)


def _without(states: dict[str, State], start: TrainingStart) -> dict[str, State]:
    """Return the states without tensors of parameters that are no more: a later LoRA has others under their names.

    So has a head that takes the place of one that was solved for, which itself had taken the place of a trained one.
    """

    def gone(parameter: str) -> bool:
        return parameter in start.merged or (start.anew and parameter.startswith("head."))

    return {
        name: replace(
            state, tensors={key: one for key, one in state.tensors.items() if not gone(key.partition(".")[2])}
        )
        for name, state in states.items()
    }


def _caught_up(
    strategy: Strategy, state: State | None, lesson: TrainingData, learner: Learner, past: list[str], rows_of: RowsOf
) -> State:
    """Return a strategy's state; a buffer is first offered the rows of experiences that were learnt without it.

    Otherwise classes that a head was solved for, without replay, would be in no buffer when a later update trains.
    """
    known = State(experiences=()) if state is None else state
    missed = [] if known.experiences is None else [one for one in past if one not in known.experiences]
    if not (strategy.keeps_rows and missed):
        return known
    rows = rows_of(missed, "train")
    if rows.empty:
        return known
    update = Update(known, replace(lesson, rows=rows), learner)
    strategy.begin(update)
    return strategy.remember(update)


def _at_hand(lesson: TrainingData, strategies: list[Strategy], states: dict[str, State]) -> pd.DataFrame:
    """Return what a new head is fitted on: new rows, those in buffers, and the past where it is learnt again whole."""
    kept = [state.rows for state in states.values() if state.rows is not None]
    whole = [lesson.past()] if any(one.keeps_past for one in strategies) else []
    rows = pd.concat([lesson.rows, *(one[lesson.rows.columns] for one in [*kept, *whole])], ignore_index=True)
    rows = rows.drop_duplicates("id", ignore_index=True)
    return rows if len(rows) <= MOST_ROWS else rows.iloc[sorted(lesson.rng.permutation(len(rows))[:MOST_ROWS])]


def _idle(states: dict[str, State], strategies: list[Strategy]) -> dict[str, State]:
    """Return the states of strategies that had no part in this update, for a later one that they have a part in.

    Left behind are sums of closed forms, which have to be over all rows, and after a start from pretrained weights
    what held on to the champion.
    """
    used, afresh = {one.name for one in strategies}, any(one.restarts() for one in strategies)
    idle = [name for name in plugins.names("strategies") if name in states and name not in used]
    kinds = {name: plugins.find("strategies", name) for name in idle}
    return {name: states[name] for name, kind in kinds.items() if not (kind.closed or (afresh and kind.holds))}


def save_version(learner: Learner, states: dict[str, State], folder: Path) -> None:
    """Write a learner and the strategies' states into a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_learner(learner, folder)
    save_states(states, folder)


def training_seed(seed: int, experiences: list[str]) -> int:
    """Return the seed of one update: another for every experience, the same for every run of it."""
    named = f"{seed}:{','.join(experiences)}"
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:4], "big")


def validation_rows(rows_of: RowsOf, experiences: list[str], seed: int) -> pd.DataFrame:
    """Return validation rows of everything learnt so far: the new alone would reward forgetting."""
    rows = rows_of(experiences, "validation")
    return rows.sample(VALIDATION_ROWS, random_state=seed % 2**31) if len(rows) > VALIDATION_ROWS else rows
