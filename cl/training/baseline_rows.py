"""The rows that baselines are fitted on, and their frozen features: a bounded sample that grows with the stream.

It is kept on this machine from cycle to cycle, so that a cycle reads the new experiences alone. Of all rows, those with
the smallest hash of their id are kept: a uniform sample, and the same whether it was extended or drawn at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from cl.models.build import grow_labels
from cl.models.closed_form_head import ClosedFormHead
from cl.models.frozen_features import Features, frozen_features, reading_digest
from cl.models.learner import Learner
from cl.models.weights import learnable, row_weights
from cl.stores.data.experiences import RowsOf
from cl.stores.data.fingerprints import hash_texts
from cl.tasks import ValueKind

MOST_ROWS = 5_000
"""Rows that a baseline is fitted on."""
SPLITS = ("train", "validation")
AT_ONCE = 64
"""Experiences whose rows are in memory at a time."""
FORMAT = 1
"""Of the file; one of another format is made again."""


@dataclass(frozen=True)
class LearnedExperiences:
    """The experiences that a challenger will have learned, oldest first, and what identifies the rows of each."""

    ids: Sequence[str]
    digests: Mapping[str, str]

    def chain(self, count: int) -> str:
        """Return a hash of the first ones, which changes with any row of theirs."""
        text = "\n".join(f"{id} {self.digests[id]}" for id in self.ids[:count])
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class BaselineRows:
    """The features of the kept rows, in the order of the hashes of their ids.

    ``whole`` is int8 (positions, width), ``targets`` int64 (positions,), or where a row may have any number of labels
    (positions, labels) with 1 for those it has, ``labels`` what they count, ``sizes`` the
    positions of each row, ``weights`` what each row counts, float64; ``hashes`` int64 (rows,). ``examples`` are
    answers that between them have all labels. ``fitted`` are weights and biases of a regression, which ``is_fitted`` on
    these very rows, or was on those before.
    """

    whole: torch.Tensor
    targets: torch.Tensor
    sizes: torch.Tensor
    weights: torch.Tensor
    hashes: torch.Tensor
    labels: list[str] = field(default_factory=list)
    examples: list[Any] = field(default_factory=list)
    experiences: int = 0
    fitted: dict[str, torch.Tensor] = field(default_factory=dict)
    is_fitted: bool = False

    @classmethod
    def none(cls, width: int) -> BaselineRows:
        """Return no rows."""
        whole, numbers = torch.zeros(0, width, dtype=torch.int8), torch.zeros(0, dtype=torch.int64)
        return cls(whole, numbers, numbers, torch.zeros(0, dtype=torch.float64), numbers)

    @property
    def features(self) -> Features:
        """The features as strategies read them."""
        row = torch.arange(len(self.sizes)).repeat_interleave(self.sizes)
        weights = None if bool((self.weights == 1).all()) else self.weights[row]
        return Features(self.whole, self.targets, row, weights)

    def with_labels(self, labels: list[str]) -> BaselineRows:
        """Return the same rows, with labels in another order, or more of them."""
        if labels == self.labels:
            return self
        index_of = {label: index for index, label in enumerate(labels)}
        places = torch.tensor([index_of[label] for label in self.labels], dtype=torch.int64)
        fitted = dict[str, torch.Tensor]()
        for name, values in self.fitted.items():  # a new class begins at zero
            fitted[name] = torch.zeros(*values.shape[:-1], len(labels)).index_copy_(-1, places, values)
        targets = self.targets
        if targets.ndim == 2:
            targets = torch.zeros(len(targets), len(labels), dtype=torch.int64).index_copy_(1, places, targets)
        else:
            targets = places[targets]
        return replace(self, targets=targets, labels=labels, fitted=fitted)

    def joined(self, other: BaselineRows, most: int) -> BaselineRows:
        """Return the rows of both with the smallest hashes, at most so many; both have the same labels."""
        hashes = torch.cat([self.hashes, other.hashes])
        order = np.argsort(hashes.numpy().view(np.uint64), kind="stable")[:most]
        chosen = torch.from_numpy(order)
        sizes = torch.cat([self.sizes, other.sizes])
        starts = sizes.cumsum(0) - sizes
        own = sizes[chosen]
        steps = torch.arange(int(own.sum())) - (own.cumsum(0) - own).repeat_interleave(own)
        positions = starts[chosen].repeat_interleave(own) + steps
        return replace(
            self,
            whole=torch.cat([self.whole, other.whole])[positions],
            targets=(torch.cat([self.targets, other.targets]) if len(self.targets) else other.targets)[positions],
            sizes=own,
            weights=torch.cat([self.weights, other.weights])[chosen],
            hashes=hashes[chosen],
            is_fitted=False,
        )


@dataclass(frozen=True)
class RowsFile:
    """Where the sample lies between two cycles, and what it was made with; it may lie nowhere."""

    path: Path | None
    key: str

    @classmethod
    def of(cls, path: Path | None, learner: Learner, head: ClosedFormHead) -> RowsFile:
        """Return the file for what a learner and a head read."""
        digest = reading_digest(learner, head) if path is not None else None
        return cls(path if digest else None, f"{FORMAT} {MOST_ROWS} {digest}")

    def load(self, learned: LearnedExperiences) -> BaselineRows | None:
        """Return the kept sample; None: there is none that these experiences extend, or it is damaged."""
        if self.path is None:
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                described = file.metadata()
                count = int(described["experiences"])
                same = described["key"] == self.key and count <= len(learned.ids)
                if not same or described["chain"] != learned.chain(count):
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it has no iterator
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return None
        return BaselineRows(
            whole=tensors["whole"],
            targets=tensors["targets"].long(),
            sizes=tensors["sizes"].long(),
            weights=tensors["weights"],
            hashes=tensors["hashes"],
            labels=json.loads(described["labels"]),
            examples=json.loads(described["examples"]),
            experiences=count,
            is_fitted=True,
            fitted={name.partition(".")[2]: value for name, value in tensors.items() if name.startswith("fitted.")},
        )

    def save(self, sample: BaselineRows, learned: LearnedExperiences) -> None:
        """Write a sample; a reader sees the old file or the new one."""
        if self.path is None:
            return
        described = {
            "key": self.key,
            "chain": learned.chain(sample.experiences),
            "experiences": str(sample.experiences),
            "labels": json.dumps(sample.labels),
            "examples": json.dumps(sample.examples),
        }
        tensors = {"whole": sample.whole, "targets": sample.targets.int(), "sizes": sample.sizes.int()}
        tensors |= {"weights": sample.weights, "hashes": sample.hashes}
        tensors |= {f"fitted.{name}": values for name, values in sample.fitted.items()}
        draft = self.path.with_suffix(".draft")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, draft, described)
        draft.replace(self.path)


def sample_rows(
    learner: Learner, head: ClosedFormHead, learned: LearnedExperiences, rows_of: RowsOf, file: RowsFile, *, seed: int
) -> tuple[Learner, BaselineRows]:
    """Return a learner that knows the labels of all rows, and the sample of the rows with their features.

    Args:
        learner: the encoder as it was pretrained, without labels.
        head: says which layers are read.
        learned: the experiences.
        rows_of: returns the rows of experiences (ids, split).
        file: has the sample of an earlier cycle.
        seed: of the head.
    """
    sample = file.load(learned) or BaselineRows.none(head.width * head.layers)
    column, fresh, answers = learner.task.schema.answer.name, pd.DataFrame(), [*sample.examples]
    for start in range(sample.experiences, len(learned.ids), AT_ONCE):
        ids = list(learned.ids[start : start + AT_ONCE])
        rows = learnable(pd.concat([rows_of(ids, split) for split in SPLITS], ignore_index=True))
        answers += [_plain(answer) for answer in rows[column][~learner.task.classes(rows).duplicated()]]
        answers = _bringing_labels(answers) if learner.task.schema.answer.kind is ValueKind.LABELS else answers
        fresh = _smallest(pd.concat([fresh, rows], ignore_index=True) if len(fresh) else rows)
    examples = [json.loads(text) for text in dict.fromkeys(map(json.dumps, answers))]
    labels = learner.task.labels(pd.DataFrame({column: pd.Series(examples, dtype=object)}))
    learner = grow_labels(learner, labels, seed=seed)
    if len(fresh):
        joined = sample.with_labels(labels).joined(_features_of(learner, head, fresh), MOST_ROWS)
        sample = replace(joined, examples=examples)
    return learner, replace(sample, experiences=len(learned.ids))


def _smallest(rows: pd.DataFrame) -> pd.DataFrame:
    if len(rows) <= MOST_ROWS:
        return rows
    order = np.argsort(hash_texts(rows["id"].astype(str)), kind="stable")[:MOST_ROWS]
    return rows.iloc[order].reset_index(drop=True)


def _features_of(learner: Learner, head: ClosedFormHead, rows: pd.DataFrame) -> BaselineRows:
    features, weights = frozen_features(learner, head, rows), row_weights(rows)
    return BaselineRows(
        whole=features.whole,
        targets=features.targets.long(),
        sizes=torch.bincount(features.row, minlength=len(rows)),
        weights=torch.ones(len(rows), dtype=torch.float64) if weights is None else torch.from_numpy(weights),
        hashes=torch.from_numpy(hash_texts(rows["id"].astype(str)).view(np.int64).copy()),
        labels=list(learner.labels),
    )


def _bringing_labels(answers: Sequence[Sequence[str]]) -> list[Any]:
    """Return the answers that have a label which none before them has: of lists of labels there may be very many."""
    known, kept = set[str](), list[Any]()
    for answer in answers:
        if not known.issuperset(answer):
            known |= set(answer)
            kept.append(answer)
    return kept


def _plain(answer: Any) -> Any:
    """Return an answer as JSON holds it."""
    return answer if isinstance(answer, str) else list(map(str, answer))
