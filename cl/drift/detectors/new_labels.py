"""Labels that the champion has never seen."""

from __future__ import annotations

from math import ceil
from typing import ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from cl.drift.detectors import Detector
from cl.models.snapshot import Snapshot
from cl.records import ChangedGroup, Finding

SHOWN = 8


class NewLabels(Detector):
    """Alarms when a label that the champion cannot predict has enough rows.

    A rule, not a test: a label that is not in the head is wrong every time, and no share of ``drift.alpha`` is spent
    on it. Slips of the pen are new labels, too, and there are the more of them the more rows there are; but they
    rarely agree. So one label must have ``min_rows`` rows, and ``share`` of all rows, by itself.
    """

    needs_labels: ClassVar[bool] = True

    min_rows: int = Field(3, ge=1, description="Rows of one new label that are no accident")
    share: float = Field(0.001, ge=0.0, lt=1.0, description="Share of all rows that one new label must have as well")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; it has no p-value, so no correction applies."""
        unknown_label_ids = unknown_label_rows(
            new.frame["label"] if new.labels is None else new.labels, new.known_labels
        )
        rows = int(unknown_label_ids.map(bool).sum())
        counts = unknown_label_ids.explode().dropna().value_counts()
        needed = max(self.min_rows, ceil(self.share * len(unknown_label_ids) - 1e-9))
        enough = bool((counts >= needed).any())
        return Finding(
            detector=self.name,
            kind="new_labels",
            drifted=enough,
            statistic=float(rows),
            summary=_summary(counts, rows, len(unknown_label_ids), short=None if enough else needed),
            moved=[
                ChangedGroup(name=str(one), before=0.0, after=count / len(unknown_label_ids))
                for one, count in counts.items()
            ],
            examples=list(new.unknown_label_ids),
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return 1 for rows with labels that the champion does not know; the rest show nothing."""
        return np.where(unseen_labels(new).map(bool), 1.0, -1.0)


def unseen_labels(snapshot: Snapshot) -> pd.Series:
    """Return, for each row of the frame, the list of its labels that the model does not know."""
    return unknown_label_rows(snapshot.frame["label"], snapshot.known_labels)


def unknown_label_rows(labels: pd.Series, known_labels: tuple[str, ...]) -> pd.Series:
    """Return, for each row's label, the list of what the model does not know of it.

    A model of tokens knows the label O, and its rows carry entity types joined by a space; every other
    label is one name, spaces and all.
    """
    known = set(known_labels)
    parts = str.split if "O" in known else lambda label: [label]
    found = {label: [one for one in parts(label) if one not in known] for label in labels.unique()}
    return labels.astype(object).map(found.__getitem__)  # rows of one label share one list


def _summary(counts: pd.Series, rows: int, among: int, short: int | None) -> str:
    """Return the sentence; ``short``: how many rows of one label would have been enough, where none has them."""
    if not rows:
        return "every label is known to the champion"
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    named = ", ".join(f"{label} ({count})" for label, count in ordered[:SHOWN])
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    few = "" if short is None else f"; no one label has the {short} of {among} rows that are an alarm"
    plural = "" if rows == 1 else "s"
    return f"{rows} row{plural} with labels the champion has never seen: {named}{more}{few}"
