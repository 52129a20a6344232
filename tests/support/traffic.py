"""What a server has answered, as its log keeps it."""

from __future__ import annotations

import asyncio
from datetime import datetime

from cl.config.serving import ServingLogSettings
from cl.serving.prediction_log import PredictionLog
from cl.stores.project_folder import ProjectFolder
from cl.tasks.text_classification import TextClassification
from tests.support.tiny import made_sentences


def serve(project: ProjectFolder, labels: list[str], rows: int, seed: int, at: datetime, *, labelled: int = 0) -> None:
    """Answer rows at a moment, and label the first of them."""
    log = PredictionLog(project, ServingLogSettings(), TextClassification())
    every = {"recorded_at": at.timestamp(), "version": "1", "label": "loan", "confidence": 0.5, "role": "champion"}
    asked = made_sentences(labels, rows, seed=seed)
    log.record([{"id": row.id, "text": row.text, **every} for row in asked.itertuples()])
    log.record([{"id": f"shadow {row.id}", "text": "box", **every, "role": "shadow"} for row in asked.itertuples()])
    for row in asked.head(labelled).itertuples():
        asyncio.run(log.feedback(row.id, row.label))
    log.close()
