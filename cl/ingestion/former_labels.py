"""Read rows that come in under a former label by its name today."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cl.stores.data.label_changes import LabelHistory, Relabelling


def under_todays_names(rows: pd.DataFrame, changed: LabelHistory) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the rows with the labels of today, and which rows have a label that has none, by what became of it.

    Tags of a type of entity that was retired become O: their rows stay.
    """
    former = changed.former()
    if not former:
        return rows, {}
    if "tags" in rows:
        relabelling = Relabelling(names=former)
        tags = [cell and [relabelling.tag(tag) for tag in cell] for cell in rows["tags"]]
        renamed = rows.assign(tags=pd.Series(tags, index=rows.index, dtype=object))
        return relabelling.annotated(renamed), {}
    labels = rows["label"]
    ended = {label: f"former label: {changed.read(label)[1]}" for label, name in former.items() if name is None}
    today = [former.get(label) or label for label in labels]
    masks = {why: (labels == label).to_numpy() for label, why in ended.items()}
    return rows.assign(label=pd.Series(today, index=rows.index, dtype=object)), {
        why: mask for why, mask in masks.items() if mask.any()
    }
