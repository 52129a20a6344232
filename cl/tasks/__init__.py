"""Task types, one file each: columns, targets, features, decoding and scores."""

from cl.plugins import Capability
from cl.tasks._base import (
    IGNORED,
    Batch,
    Encoded,
    Pooling,
    Prediction,
    Targets,
    Task,
    filler,
    known_positions,
    scores_by_class,
    text_ids,
)
from cl.tasks._schema import Column, Schema, ValueKind

__all__ = [
    "IGNORED",
    "Batch",
    "Capability",
    "Column",
    "Encoded",
    "Pooling",
    "Prediction",
    "Schema",
    "Targets",
    "Task",
    "ValueKind",
    "filler",
    "known_positions",
    "scores_by_class",
    "text_ids",
]
