"""The rows that a challenger lost: what its gates' verdicts look like one by one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from cl.records import Regression
from cl.stores.opened import OpenProject

WORST = 20


def read_stored_rows(at: OpenProject, cycle: str) -> pd.DataFrame | None:
    """Return the rows that gates have judged, by the id under which it was; None: they are not stored any more."""
    with tempfile.TemporaryDirectory() as scratch:
        path = at.stores.registry.evaluated(cycle, Path(scratch))
        return None if path is None else pd.read_parquet(path)


def worst_regressions(at: OpenProject, rows: pd.DataFrame) -> list[Regression]:
    """Return the rows whose score fell most from champion to challenger, those first that it is surest of.

    Texts are not stored with a version: they are read from the data of this machine, where they still are.
    """
    if "champion_score" not in rows:
        return []
    drop = rows["champion_score"].fillna(0.0).astype(float) - rows["challenger_score"].fillna(0.0)
    sure = rows.get("confidence", 0.0)
    fallen = rows.assign(drop=drop, sure=sure)[drop > 0]
    worst = fallen.sort_values(["drop", "sure"], ascending=False, kind="stable").head(WORST)
    texts: dict[tuple[str, str], str] = {}
    for experience, part in worst.groupby("experience"):
        found = at.stores.texts(at.config.task, str(experience), part["id"].tolist())
        texts |= {(str(experience), id): text for id, text in found.items()}
    return [
        Regression(
            **{key: one[key] for key in ("experience", "id", "target", "champion", "challenger")},
            champion_confidence=_known(one.get("champion_confidence")),
            challenger_confidence=_known(one.get("confidence")),
            text=texts.get((one["experience"], one["id"]), "(no longer there)"),
        )
        for one in worst.to_dict("records")
    ]


def _known(confidence: float | None) -> float | None:
    return None if confidence is None or pd.isna(confidence) else float(confidence)
