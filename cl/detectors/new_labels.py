"""Labels that the champion has never seen."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from cl.detectors import Detector, Snapshot
from cl.records import Finding, Moved

SHOWN = 8


class NewLabels(Detector):
    """Alarms when enough rows carry labels that the champion cannot predict.

    A rule, not a test: a label that is not in the head is wrong every time. A few rows of it may be
    slips of the pen, hence ``min_rows``, counted over all new labels together.
    """

    min_rows: int = Field(3, ge=1, description="Rows with new labels, all of them together, that are no accident")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; it has no p-value, so no correction applies."""
        strangers = strange(new.frame["label"] if new.labels is None else new.labels, new.known_labels)
        rows = int(strangers.map(bool).sum())
        counts = strangers.explode().dropna().value_counts()
        return Finding(
            detector=self.name,
            kind="new_labels",
            drifted=rows >= self.min_rows,
            statistic=float(rows),
            summary=_summary(counts, rows, self.min_rows),
            moved=[Moved(name=str(one), before=0.0, after=count / len(strangers)) for one, count in counts.items()],
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return 1 for rows with labels that the champion does not know; the rest show nothing."""
        return np.where(unseen(new).map(bool), 1.0, -1.0)


def unseen(snapshot: Snapshot) -> pd.Series:
    """Return, for each row of the frame, the list of its labels that the model does not know."""
    return strange(snapshot.frame["label"], snapshot.known_labels)


def strange(labels: pd.Series, known_labels: tuple[str, ...]) -> pd.Series:
    """Return, for each row's label, the list of what the model does not know of it.

    A model of tokens knows the label O, and its rows carry entity types joined by a space; every other
    label is one name, spaces and all.
    """
    known = set(known_labels)
    if "O" in known:
        return labels.astype(object).map(lambda label: [one for one in label.split() if one not in known])
    return labels.astype(object).map(lambda label: [] if label in known else [label])


def _summary(counts: pd.Series, rows: int, min_rows: int) -> str:
    if not rows:
        return "every label is known to the champion"
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    named = ", ".join(f"{label} ({count})" for label, count in ordered[:SHOWN])
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    few = "" if rows >= min_rows else f"; fewer than {min_rows} rows are no alarm"
    plural = "" if rows == 1 else "s"
    return f"{rows} row{plural} with labels the champion has never seen: {named}{more}{few}"
