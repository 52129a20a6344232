"""Versions compared: the same to the bit in all that is asked and in all that learning goes on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl.models.persistence import load_learner
from cl.training.strategies import load_states


def assert_same_version(one: Path, other: Path) -> None:
    """Compare labels, encoder, head, and each strategy's tensors, rows and count."""
    first, second = load_learner(one), load_learner(other)
    assert first.labels == second.labels
    assert type(first.head) is type(second.head)
    for part in ("encoder", "head"):
        _same_tensors(getattr(first, part).state_dict(), getattr(second, part).state_dict(), part)
    states, others = load_states(one), load_states(other)
    assert set(states) == set(others)
    for name, state in states.items():
        assert state.seen == others[name].seen
        _same_tensors(state.tensors, others[name].tensors, name)
        _same_rows(state.rows, others[name].rows)


def _same_tensors(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor], where: str) -> None:
    assert set(ours) == set(theirs), where
    for key, tensor in ours.items():
        assert torch.equal(tensor, theirs[key]), f"{where}: {key}"


def _same_rows(ours: pd.DataFrame | None, theirs: pd.DataFrame | None) -> None:
    assert (ours is None) == (theirs is None)
    if ours is not None and theirs is not None:
        assert list(ours.columns) == list(theirs.columns) and len(ours) == len(theirs)
        for column in ours.columns:
            for mine, yours in zip(ours[column], theirs[column], strict=True):
                assert _same_cell(mine, yours), f"{column}: {mine} and {yours}"


def _same_cell(one: object, other: object) -> bool:
    """Tell whether two cells are equal: lists of arrays by what they hold, no value and no value as the same."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return len(one) == len(other) and all(map(_same_cell, one, other))
    return one == other or (one is None and other is None) or (one != one and other != other)
