"""The script that stock MLflow runs to load a version: models from code, no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class LearnerModel(PythonModel):
    """Answers a frame with the task's input column: label (or tags) and confidence, one row each."""

    def load_context(self, context: Any) -> None:
        """Read the learner's folder, which the version carries as an artifact, when its digests are right."""
        from cl.stores.local import check_manifest
        from cl.training.learner import load_learner

        folder = Path(context.artifacts["learner"])
        check_manifest(folder)
        self.learner = load_learner(folder)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one prediction a row, in the rows' order."""
        from cl.training.inference import predict

        text, label = self.learner.task.columns
        rows = model_input if isinstance(model_input, pd.DataFrame) else pd.DataFrame({text: list(model_input)})
        answers = predict(self.learner, rows)
        return pd.DataFrame(
            {label: [one.value for one in answers], "confidence": [one.confidence for one in answers]},
            index=rows.index,
        )


set_model(LearnerModel())
