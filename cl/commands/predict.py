"""`cl predict`: the champion answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.commands.opening import opened


def predict_texts(folder: Path, texts: list[str]) -> list[dict[str, Any]]:
    """Return each text's prediction and confidence.

    Raises:
        PerennialError: there is no champion yet.
        IntegrityError: the champion's files are not those that were promoted.
    """
    at = opened(folder)
    version = at.champion()
    import pandas as pd

    from cl.training.inference import predict
    from cl.training.learner import load_learner

    folder_of_version = at.stores.champion_folder(version)
    assert folder_of_version is not None
    learner = load_learner(folder_of_version)
    column = learner.task.columns[0]
    values = [text.split() for text in texts] if column == "tokens" else texts
    answers = predict(learner, pd.DataFrame({column: values}))
    return [
        {
            "text": text,
            "prediction": learner.task.describe(one.value),
            "confidence": one.confidence,
            "version": version,
        }
        for text, one in zip(texts, answers, strict=True)
    ]
