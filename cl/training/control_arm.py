"""Train the naive control arm: same start, new rows only, few epochs; it shows what the update's strategy is worth."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from cl.config import Config
from cl.records import ControlArm
from cl.stores.data.experiences import RowsOf
from cl.training.train import train


def train_control_arm(config: Config, *, champion: Path, new: list[str], rows_of: RowsOf, folder: Path) -> ControlArm:
    """Fine-tune the champion on new rows only and save the result, without affecting the update itself.

    It sees no past rows, not even to choose its best epoch. If it is killed, it resumes after its last epoch.

    Args:
        config: the update's configuration, with ``training.control``.
        champion: folder of the version that the update starts from.
        new: ids of the experiences that the update learns, oldest first.
        rows_of: returns the rows of experiences (ids, split).
        folder: where the arm is saved; existing content is replaced.
    """
    bounds = config.training.control
    assert bounds is not None
    epochs = min(bounds.epochs, config.training.epochs)
    training = config.training.model_copy(update={"epochs": epochs, "control": None})
    naive = config.model_copy(update={"strategy": "naive", "training": training})

    def sample_rows(experiences: list[str], split: str) -> pd.DataFrame:
        rows = rows_of(experiences, split)
        return rows if len(rows) <= bounds.rows else rows.sample(bounds.rows, random_state=config.seed)

    with torch.random.fork_rng():  # the control arm leaves the random state of the cycle as it was
        arm = train(naive, champion=champion, new=new, past=[], rows_of=sample_rows, folder=folder)
    return ControlArm(folder=str(folder), experiences=new, rows=arm.rows_new, epochs=arm.epochs, seconds=arm.seconds)
