"""Strategies: how a model learns a new experience without forgetting the old ones, one file each."""

from cl.training.strategies._base import (
    EpochRows,
    LearningMethod,
    State,
    Step,
    Strategy,
    TrainingData,
    Update,
    load_states,
    save_states,
)

__all__ = [
    "EpochRows",
    "LearningMethod",
    "State",
    "Step",
    "Strategy",
    "TrainingData",
    "Update",
    "load_states",
    "save_states",
]
