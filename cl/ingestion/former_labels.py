"""Read rows that come in under a former label by its name today."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cl.stores.data.label_changes import LabelHistory, Relabelling
from cl.tasks import Column, ValueKind, renamed


def under_todays_names(
    rows: pd.DataFrame, answer: Column, changed: LabelHistory
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the rows with the labels of today, and which rows have a label that has none, by what became of it.

    Tags of a type of entity that was retired become O, and of several labels the others stay: such rows stay.
    """
    former = changed.former()
    if not former or not answer.kind.names_classes:
        return rows, {}
    name, values = answer.name, rows[answer.name]
    if answer.kind is not ValueKind.LABEL:
        relabelling = Relabelling(names=former)
        today = [value and renamed(answer.kind, value, relabelling.name) for value in values]
        return relabelling.annotated(rows.assign(**{name: pd.Series(today, index=rows.index, dtype=object)})), {}
    ended = {label: f"former label: {changed.read(label)[1]}" for label, new in former.items() if new is None}
    labels = [former.get(label) or label for label in values]
    masks = {why: (values == label).to_numpy() for label, why in ended.items()}
    return rows.assign(**{name: pd.Series(labels, index=rows.index, dtype=object)}), {
        why: mask for why, mask in masks.items() if mask.any()
    }
