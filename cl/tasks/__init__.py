"""Task types, one file each: columns, targets, features, decoding and scores."""

from cl.tasks._base import IGNORED, Encoded, Prediction, Task, filler, scores_by_class

__all__ = ["IGNORED", "Encoded", "Prediction", "Task", "filler", "scores_by_class"]
