"""Snapshots: rows as a model sees them, which drift detection compares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cl.heavy import np, pd

if TYPE_CHECKING:
    import torch

    from cl.models.learner import Learner


@dataclass(frozen=True)
class Snapshot:
    """Rows as a model sees them.

    ``frame`` has one line for each row: ``id``, ``text``, ``label`` (the row's class; where it has several, they are
    joined by the ``separator``), ``prediction``, ``confidence`` (0 to 1) and ``score`` (0 to 1: how right the
    prediction is). Of a model that writes, also ``answer``, what it writes, if it does, and ``nll``, the negative
    log-likelihood of the true answer in nats per token. ``embeddings`` is float32, rows by width, in the same order.

    If the frame is a sample, ``labels`` are those of all rows and ``unknown_label_ids`` the ids of example rows, in the
    sample or not, whose labels the model does not know; detectors test the sample only. If the frame holds all rows,
    ``labels`` is None.
    """

    frame: pd.DataFrame
    embeddings: np.ndarray
    known_labels: tuple[str, ...] = ()
    labels: pd.Series | None = None
    unknown_label_ids: tuple[str, ...] = ()
    separator: str | None = None

    def take(self, indices: np.ndarray) -> Snapshot:
        """Return the rows with the given indices."""
        frame = self.frame.iloc[indices].reset_index(drop=True)
        return Snapshot(frame, self.embeddings[indices], self.known_labels, separator=self.separator)


def take_snapshot(learner: Learner, rows: pd.DataFrame, *, logits: list[torch.Tensor] | None = None) -> Snapshot:
    """Return the rows with the learner's predictions, confidences, row scores and embeddings.

    Args:
        learner: what answers.
        rows: to be answered.
        logits: as for `cl.models.inference.answer`.
    """
    from cl.models.inference import answer

    task, answers = learner.task, answer(learner, rows, logits=logits)
    predicted = rows.assign(**{task.schema.answer.name: answers.values})
    frame = pd.DataFrame(
        {
            "id": rows["id"].to_numpy(),
            "text": task.texts(rows).to_numpy(),
            "label": task.classes(rows).to_numpy(),
            "prediction": task.classes(predicted).to_numpy(),
            "confidence": [prediction.confidence for prediction in answers.predictions],
            "score": task.row_scores(rows, answers.values),
        }
    )
    if answers.losses is not None:
        frame["nll"] = answers.losses
        if not task.reads_answers:
            frame["answer"] = [str(value) for value in answers.values]
    known = tuple(task.class_names(learner.labels))
    return Snapshot(frame, answers.embeddings, known, separator=task.class_separator)


def join_snapshots(parts: list[Snapshot]) -> Snapshot:
    """Return several snapshots by the same learner as one."""
    frame = pd.concat([part.frame for part in parts], ignore_index=True)
    embeddings, first = np.concatenate([part.embeddings for part in parts]), parts[0]
    return Snapshot(frame, embeddings, first.known_labels, separator=first.separator)


def take_unlabelled_snapshot(learner: Learner, rows: pd.DataFrame) -> Snapshot:
    """Return a snapshot of rows without labels: empty labels, and NaN scores."""
    from cl.models.inference import answer

    task, answers = learner.task, answer(learner, rows)
    frame = pd.DataFrame(
        {
            "id": rows["id"].to_numpy(),
            "text": task.texts(rows).to_numpy(),
            "label": "",
            "prediction": task.classes(rows.assign(**{task.schema.answer.name: answers.values})).to_numpy(),
            "confidence": [prediction.confidence for prediction in answers.predictions],
            "score": float("nan"),
        }
    )
    if learner.writes:
        frame["answer"] = [str(value) for value in answers.values]
    no_labels = pd.Series([], dtype=object)
    known = tuple(task.class_names(learner.labels))
    return Snapshot(frame, answers.embeddings, known, no_labels, separator=task.class_separator)


def save_reference(snapshot: Snapshot, folder: Path) -> None:
    """Write the drift reference to ``folder/reference``."""
    from safetensors.numpy import save_file

    target = folder / "reference"
    target.mkdir(parents=True, exist_ok=True)
    snapshot.frame.to_parquet(target / "frame.parquet", index=False)
    save_file({"embeddings": snapshot.embeddings}, target / "embeddings.safetensors")
    (target / "known_labels.json").write_text(json.dumps(list(snapshot.known_labels)), encoding="utf-8")


def load_reference(folder: Path) -> Snapshot:
    """Read the drift reference of a version."""
    from safetensors.numpy import load_file

    source = folder / "reference"
    return Snapshot(
        frame=pd.read_parquet(source / "frame.parquet"),
        embeddings=load_file(source / "embeddings.safetensors")["embeddings"],
        known_labels=tuple(json.loads((source / "known_labels.json").read_text(encoding="utf-8"))),
    )
