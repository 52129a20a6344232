"""Evidently's drift report: for people to read; decisions are made by the detectors."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from cl.detectors import Snapshot
from cl.stores.local import write_text

MAX_ROWS = 2_000
MAX_CATEGORIES = 30
MIN_ROWS = 2
COMPONENTS = 3
CATEGORICAL = ["label", "prediction"]
WORD = re.compile(r"\w+")


def write_drift_report(reference: Snapshot, new: Snapshot, folder: Path, *, seed: int) -> Path | None:
    """Write drift.html and drift.json into a folder and return it; None where a side has fewer than two rows.

    Texts, labels, predictions, confidences and embeddings are compared column by column with Evidently's own
    defaults. No row's text is in the report, and at most 2,000 rows of each side are.
    """
    if min(len(reference.frame), len(new.frame)) < MIN_ROWS:
        return None
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference, new = _sample(reference, seed), _sample(new, seed)
    before, after = _describe(reference, reference), _describe(new, reference)
    before[CATEGORICAL], after[CATEGORICAL] = _categories(before, after), _categories(after, before)
    numerical = [column for column in before if column not in CATEGORICAL]
    columns = DataDefinition(numerical_columns=numerical, categorical_columns=CATEGORICAL)
    result = Report([DataDriftPreset()], include_tests=True).run(
        Dataset.from_pandas(after, data_definition=columns), Dataset.from_pandas(before, data_definition=columns)
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


def _describe(rows: Snapshot, reference: Snapshot) -> pd.DataFrame:
    """Return the columns that are compared: cheap numbers about each text, and what the model made of it."""
    frame = rows.frame.reset_index(drop=True)
    texts = frame["text"].astype(str)
    known = {word for text in reference.frame["text"].astype(str) for word in _words(text)}
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "characters": texts.str.len(),
                    "words": texts.map(lambda text: len(_words(text))),
                    "non_letter_share": texts.map(_non_letter_share),
                    "unknown_word_share": texts.map(lambda text: _unknown_share(text, known)),
                    "confidence": frame["confidence"].astype(float),
                    "label": frame["label"].astype(str),
                    "prediction": frame["prediction"].astype(str),
                }
            ),
            _components(rows.embeddings, reference.embeddings),
        ],
        axis=1,
    )


def _components(embeddings: np.ndarray, reference: np.ndarray) -> pd.DataFrame:
    """Project embeddings on the reference's principal components."""
    centre = reference.mean(axis=0, dtype=np.float64)
    axes = np.linalg.svd(reference - centre, full_matrices=False)[2][:COMPONENTS]
    projected = (embeddings - centre) @ axes.T
    return pd.DataFrame(projected, columns=[f"component_{index + 1}" for index in range(len(axes))])


def _categories(frame: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return label and prediction, all but the most frequent categories of both sides as `other`, and harmless.

    Evidently writes categories into a script of its page as they are, so what could end the script is escaped.
    """
    kept = {
        column: set(pd.concat([frame[column], other[column]]).value_counts().sort_index(kind="stable").nlargest(
            MAX_CATEGORIES
        ).index)
        for column in CATEGORICAL
    }
    return pd.DataFrame(
        {
            column: frame[column].where(frame[column].isin(kept[column]), "other").map(html.escape)
            for column in CATEGORICAL
        }
    )


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _non_letter_share(text: str) -> float:
    return sum(not (character.isalpha() or character.isspace()) for character in text) / max(1, len(text))


def _unknown_share(text: str, known: set[str]) -> float:
    words = _words(text)
    return sum(word not in known for word in words) / max(1, len(words))
