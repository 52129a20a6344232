"""What is predicted: one file a task type, with its columns, targets, logits, decoding and scores."""

from cl.tasks._base import IGNORED, Encoded, Prediction, Task, scores_by_class

__all__ = ["IGNORED", "Encoded", "Prediction", "Task", "scores_by_class"]
