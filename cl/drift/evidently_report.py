"""Evidently's drift report, for people to read; the detectors make the decisions."""

from __future__ import annotations

import html
import json
from pathlib import Path

import numpy as np
import pandas as pd

from cl.drift.text_statistics import describe, vocabulary
from cl.extras import require
from cl.heavy import without_collections
from cl.models.snapshot import Snapshot
from cl.process.lazy_packages import lazily
from cl.stores.files import write_text

MAX_ROWS = 2_000
MAX_CATEGORIES = 30
MIN_ROWS = 2
COMPONENTS = 3
CATEGORICAL = ["label", "prediction"]
PACKAGES = (
    "evidently",
    "evidently.core",
    "evidently.descriptors",
    "evidently.legacy.descriptors",
    "evidently.legacy.features",
    "evidently.legacy.metrics",
    "evidently.legacy.tests",
    "evidently.metrics",
    "evidently.presets",
    "evidently.tests",
    "evidently.ui",
)
"""Packages that import all their metrics, a web server and nltk, of which this report needs none."""


def write_drift_report(reference: Snapshot, new: Snapshot, folder: Path, *, seed: int) -> Path | None:
    """Write drift.html and drift.json into a folder and return it; None if a side has fewer than two rows.

    Texts, labels, predictions, confidences and embeddings are compared column by column with Evidently's own
    defaults. The report covers at most 2,000 rows of each side and contains no text of any row.

    Raises:
        InputError: Evidently is not installed.
    """
    if min(len(reference.frame), len(new.frame)) < MIN_ROWS:
        return None
    require("Evidently's report", "evidently", instead="set drift.report: off")
    with without_collections(), lazily(*PACKAGES):
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

    reference, new = _sample(reference, seed), _sample(new, seed)
    before, after = (_describe(side, reference, seed) for side in (reference, new))
    before[CATEGORICAL], after[CATEGORICAL] = _categories(before, after), _categories(after, before)
    numerical = [column for column in before if column not in CATEGORICAL]
    columns = DataDefinition(numerical_columns=numerical, categorical_columns=CATEGORICAL)
    with np.errstate(invalid="ignore", divide="ignore"):  # correlations of constant columns
        result = Report([DataDriftPreset()], include_tests=True).run(
            Dataset.from_pandas(after, data_definition=columns),
            Dataset.from_pandas(before, data_definition=columns),
        )
    folder.mkdir(parents=True, exist_ok=True)
    result.save_html(str(folder / "drift.html"))
    write_text(folder / "drift.json", json.dumps(result.dict(), default=str, indent=1))
    return folder


def _sample(snapshot: Snapshot, seed: int) -> Snapshot:
    if len(snapshot.frame) <= MAX_ROWS:
        return snapshot
    kept = np.sort(np.random.default_rng(seed).choice(len(snapshot.frame), MAX_ROWS, replace=False))
    return Snapshot(snapshot.frame.iloc[kept], snapshot.embeddings[kept], snapshot.known_labels)


def _describe(rows: Snapshot, reference: Snapshot, seed: int) -> pd.DataFrame:
    """Return the columns to compare: cheap text statistics, and the model's outputs."""
    frame = rows.frame.reset_index(drop=True)
    known = vocabulary(reference.frame["text"].astype(str))
    texts = describe(frame["text"].astype(str), known, among=rows is reference)
    outputs = {
        "confidence": frame["confidence"].astype(float),
        "label": frame["label"].astype(str),
        "prediction": frame["prediction"].astype(str),
    }
    components = _components(rows.embeddings, reference.embeddings, seed)
    return pd.concat([texts, pd.DataFrame(outputs), components], axis=1)


def _components(embeddings: np.ndarray, reference: np.ndarray, seed: int) -> pd.DataFrame:
    """Project embeddings onto the reference's principal components."""
    from sklearn.decomposition import PCA

    count = min(COMPONENTS, *reference.shape)
    if not count:
        return pd.DataFrame(index=range(len(embeddings)))
    analysis = PCA(count, svd_solver="randomized", random_state=seed).fit(reference)
    names = [f"component_{index + 1}" for index in range(count)]
    return pd.DataFrame(analysis.transform(embeddings), columns=names)


def _categories(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return label and prediction; all but the most frequent categories of both sides become `other`.

    Evidently writes categories verbatim into a script of its page, so they are escaped here.
    """
    return frame[CATEGORICAL].apply(lambda column: _cap_categories(column, other[column.name]).map(html.escape))


def _cap_categories(column: pd.Series, other: pd.Series) -> pd.Series:
    counts = pd.concat([column, other]).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return column.where(column.isin(counts.index[:MAX_CATEGORIES]), "other")
