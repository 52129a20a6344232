"""Train a challenger: the champion, or a pretrained model, learns new experiences without losing the old."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl import plugins
from cl.config import Config
from cl.records import Training
from cl.strategies import Lesson, State, Strategy
from cl.training.learner import Learner, grown, load_learner, new_learner, save_learner
from cl.training.loop import fit
from cl.training.version import load_states, save_states

VALIDATION_ROWS = 2_000
RowsOf = Callable[[list[str], str], pd.DataFrame]


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
    rows = rows_of(new, "train")
    learner = load_learner(champion) if champion else new_learner(config)
    known = list(learner.labels)
    learner = grown(learner, learner.task.labels(pd.concat([rows, rows_of(new, "validation")])), seed=seed)
    lesson = Lesson(rows=rows, past=lambda: rows_of(past, "train"), rng=np.random.default_rng(seed))
    states = load_states(champion) if champion else {}
    strategies = {one: states.get(one.name, State()) for one in build_strategies(config)}

    result = fit(learner, lesson, _validation_rows(rows_of, past + new, seed), strategies, config.training)
    states = {one.name: one.remember(state, lesson, learner) for one, state in strategies.items()}
    save(learner, states, folder)
    return Training(
        challenger=str(folder),
        experiences=new,
        labels_added=[label for label in learner.labels if label not in known],
        epochs=result.epochs,
        steps=result.steps,
        rows_new=len(rows),
        rows_recalled=result.rows_recalled,
        seconds=round(result.seconds, 2),
        validation_score=result.validation_score,
        losses=result.losses,
    )


def build_strategies(config: Config) -> list[Strategy]:
    """Return the configured strategies in the order in which their hooks run."""
    return [plugins.build("strategies", spec) for spec in config.strategies]


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
