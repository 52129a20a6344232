"""Train a challenger: the champion, or a pretrained model, learns new experiences without losing the old."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl.config import Config
from cl.errors import ConfigError
from cl.records import Training
from cl.stores.experiences import RowsOf
from cl.strategies import Lesson, State, Update
from cl.training.learner import Learner, grown, load_learner, new_learner, retuned, save_learner
from cl.training.loop import learn
from cl.training.version import load_states, save_states

VALIDATION_ROWS = 2_000


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
    seed = seed_for(config.seed, new)
    torch.manual_seed(seed)
    rows, strategies = rows_of(new, "train"), config.built
    learner, known = _start(config, champion, afresh=any(one.restarts() for one in strategies))
    learner = grown(learner, learner.task.labels(pd.concat([rows, rows_of(new, "validation")])), seed=seed)
    lesson = Lesson(
        rows=rows,
        past=lambda: rows_of(past, "train"),
        rng=np.random.default_rng(seed),
        validation=_validation_rows(rows_of, past + new, seed),
        known=len(known),
    )
    states = load_states(champion) if champion else {}
    updates = [(one, Update(states.get(one.name, State()), lesson, learner)) for one in strategies]

    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    learner, result, updates = learn(learner, lesson, updates, config.training, checkpoint=checkpoint)
    save(learner, {one.name: one.remember(update) for one, update in updates}, folder)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return Training(
        challenger=str(folder),
        experiences=new,
        labels_added=[label for label in learner.labels if label not in known],
        epochs=result.epochs,
        steps=result.steps,
        rows_new=len(rows),
        rows_learnt=result.rows_learnt,
        rows_recalled=result.rows_recalled,
        seconds=round(result.seconds, 2),
        validation_score=result.validation_score,
        losses=result.losses,
    )


def _start(config: Config, champion: Path | None, *, afresh: bool) -> tuple[Learner, list[str]]:
    """Return the learner that this update starts from, and the labels that the champion knows."""
    if champion is None:
        return new_learner(config), []
    before = load_learner(champion)
    if before.is_closed and not any(one.closed for one in config.built) and not afresh:
        raise ConfigError(
            "strategy: the champion's head was solved in closed form and cannot be trained on; keep a closed form "
            "(ranpac, slda, ncm), or start again with {name: joint, restart: true}"
        )
    if not afresh:
        return retuned(before, config.model), before.labels
    return grown(new_learner(config), before.labels, seed=config.seed), before.labels


def save(learner: Learner, states: dict[str, State], folder: Path) -> None:
    """Write a learner and the strategies' states into a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_learner(learner, folder)
    save_states(states, folder)


def seed_for(seed: int, experiences: list[str]) -> int:
    """Return the seed of one update: another for every experience, the same for every run of it."""
    named = f"{seed}:{','.join(experiences)}"
    return int.from_bytes(hashlib.sha256(named.encode()).digest()[:4], "big")


def _validation_rows(rows_of: RowsOf, experiences: list[str], seed: int) -> pd.DataFrame:
    """Return validation rows of everything learnt so far: the new alone would reward forgetting."""
    rows = rows_of(experiences, "validation")
    return rows.sample(VALIDATION_ROWS, random_state=seed % 2**31) if len(rows) > VALIDATION_ROWS else rows
