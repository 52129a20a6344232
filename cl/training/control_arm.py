"""The naive control arm: the same start, the new rows alone, cheaply; it shows what the update's care is worth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from cl.config import Config
from cl.records import ControlArm
from cl.stores.data.experiences import RowsOf
from cl.training.train import train


def train_control_arm(config: Config, *, champion: Path, new: list[str], rows_of: RowsOf, folder: Path) -> ControlArm:
    """Fine-tune the champion on new rows alone and save what comes of it; the update itself is not disturbed.

    It sees nothing of the past, not even to choose its best epoch. Killed, it goes on from its last epoch.

    Args:
        config: of the update, with ``training.control``.
        champion: folder of the version that the update starts from.
        new: ids of the experiences that the update learns, oldest first.
        rows_of: returns the rows of experiences (ids, split).
        folder: where the arm is saved; whatever lies there is replaced.
    """
    bounds = config.training.control
    assert bounds is not None
    epochs = min(bounds.epochs, config.training.epochs)
    training = config.training.model_copy(update={"epochs": epochs, "control": None})
    naive = config.model_copy(update={"strategy": "naive", "training": training})

    def some(experiences: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(experiences, split)
        return rows if len(rows) <= bounds.rows else rows.sample(bounds.rows, random_state=config.seed)

    with torch.random.fork_rng():  # what the cycle draws later does not depend on whether there is a control arm
        done = train(naive, champion=champion, new=new, past=[], rows_of=some, folder=folder)
    return ControlArm(folder=str(folder), experiences=new, rows=done.rows_new, epochs=done.epochs, seconds=done.seconds)
