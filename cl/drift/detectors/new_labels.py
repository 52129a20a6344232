"""Detect labels that the champion has never seen."""

from __future__ import annotations

from math import ceil
from typing import ClassVar

from pydantic import Field

from cl.drift.detectors import Detector
from cl.drift.label_takeover import describe_takeovers, find_takeovers
from cl.heavy import np, pd
from cl.models.snapshot import Snapshot
from cl.plugins import Capability
from cl.records import ChangedGroup, Finding

SHOWN = 8


class NewLabels(Detector):
    """Alarms when a label that the champion cannot predict has enough rows.

    This is a rule, not a test: the head cannot predict such a label, so every row with it is wrong, and the rule spends
    no share of ``drift.alpha``. Typing errors are new labels, too, and more rows bring more of them, but they rarely
    agree. So a single label must reach ``min_rows`` rows and the ``share`` of all rows.

    >>> from cl.testing import sample_snapshot
    >>> reference, new = sample_snapshot(200), sample_snapshot(200, seed=1, labels=['fee', 'refund'])
    >>> NewLabels().detect(reference, new, alpha=0.01, seed=0).drifted
    True
    """

    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.LABELS})

    needs_labels: ClassVar[bool] = True

    min_rows: int = Field(3, ge=1, description="Rows that a single new label must have")
    share: float = Field(0.001, ge=0.0, lt=1.0, description="Share of all rows that the new label must have as well")

    def detect(self, reference: Snapshot, new: Snapshot, *, alpha: float, seed: int) -> Finding:
        """Return the finding; it has no p-value, so no correction applies."""
        labels = new.frame["label"] if new.labels is None else new.labels
        unknown = unknown_label_rows(labels, new.known_labels, new.separator)
        rows = int(unknown.map(bool).sum())
        counts = unknown.explode().dropna().value_counts()
        needed = max(self.min_rows, ceil(self.share * len(unknown) - 1e-9))
        enough = bool((counts >= needed).any())
        takeover = describe_takeovers(find_takeovers(reference, new)) if rows else ""
        return Finding(
            detector=self.name,
            kind="new_labels",
            drifted=enough,
            statistic=float(rows),
            summary=_summarise(counts, rows, len(unknown), needed=None if enough else needed)
            + (f"; {takeover}" if takeover else ""),
            moved=[
                ChangedGroup(name=str(label), before=0.0, after=count / len(unknown)) for label, count in counts.items()
            ],
            examples=list(new.unknown_label_ids),
        )

    def shows(self, reference: Snapshot, new: Snapshot) -> np.ndarray:
        """Return 1 for rows with labels that the champion does not know, -1 for the rest."""
        return np.where(unseen_labels(new).map(bool), 1.0, -1.0)


def unseen_labels(snapshot: Snapshot) -> pd.Series:
    """Return, for each row of the frame, the list of its labels that the model does not know."""
    return unknown_label_rows(snapshot.frame["label"], snapshot.known_labels, snapshot.separator)


def unknown_label_rows(labels: pd.Series, known_labels: tuple[str, ...], separator: str | None = None) -> pd.Series:
    """Return, for each row's label, the list of names in it that the model does not know.

    Args:
        labels: of each row.
        known_labels: to the model.
        separator: between the names of a row that has several; None: each label is one name, spaces included.
    """
    known = set(known_labels)
    names = {label: [label] if separator is None else label.split(separator) for label in labels.unique()}
    unknown = {label: [name for name in own if name not in known] for label, own in names.items()}
    return labels.astype(object).map(unknown.__getitem__)  # rows with the same label share one list


def _summarise(counts: pd.Series, rows: int, total: int, needed: int | None) -> str:
    """Return the summary; ``needed`` is the number of rows that raises an alarm, if no label reaches it."""
    if not rows:
        return "every label is known to the champion"
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    shown = ", ".join(f"{label} ({count})" for label, count in ordered[:SHOWN])
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    too_few = "" if needed is None else f"; no single label reaches {needed} of {total} rows, so there is no alarm"
    plural = "" if rows == 1 else "s"
    return f"{rows} row{plural} with labels the champion has never seen: {shown}{more}{too_few}"
