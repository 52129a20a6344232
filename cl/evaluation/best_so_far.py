"""Best-so-far baseline: per-row scores of the best version on each experience, carried from version to version.

It prevents small losses that every gate accepts from adding up unnoticed.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd


def add_best(table: pd.DataFrame, earlier: pd.DataFrame | None) -> pd.DataFrame:
    """Return the table with a column ``best_score``: each row's score from the best version on its experience so far.

    That is the champion, or an older version whose scores the champion carries. Without a champion, no column is added.
    """
    if "champion_score" not in table:
        return table
    best = table["champion_score"].astype(float)
    if earlier is not None and len(earlier):
        known = earlier.set_index(["experience", "id"])["score"]
        older = pd.Series(known.reindex(pd.MultiIndex.from_frame(table[["experience", "id"]])).to_numpy(), table.index)
        mean = best.fillna(0.0).groupby(table["experience"]).transform("mean")
        best = best.where(~(older.groupby(table["experience"]).transform("mean") > mean), older)
    return table.assign(best_score=best)


def best_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return experience, id and score of every test row from the best version, which may be the challenger."""
    scores = predictions["challenger_score"].astype(float)
    if "best_score" in predictions:
        means = predictions.groupby("experience")[["challenger_score", "best_score"]].transform("mean")
        scores = scores.where(~(means["best_score"] > means["challenger_score"]), predictions["best_score"])
    return predictions[["experience", "id"]].assign(score=scores)


def carry_over(best: pd.DataFrame, earlier: pd.DataFrame | None) -> pd.DataFrame:
    """Return the best rows with the earlier ones of experiences that were not tested this time: their turn comes."""
    if earlier is None:
        return best
    return pd.concat([best, earlier[~earlier["experience"].isin(best["experience"].unique())]], ignore_index=True)


def save_best(rows: pd.DataFrame, folder: Path) -> None:
    """Write the result of `best_rows` into a version's folder."""
    rows.to_parquet(folder / "best.parquet", index=False)


def load_best(folder: Path) -> pd.DataFrame | None:
    """Read what `save_best` wrote, or return None if the version does not have it."""
    path = folder / "best.parquet"
    return pd.read_parquet(path) if path.exists() else None
