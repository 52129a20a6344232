"""The script that stock MLflow runs to load a version: a model from code, without pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class LearnerModel(PythonModel):
    """Predicts the task's answer and its confidence for each row of a frame with the task's input columns."""

    def load_context(self, context: Any) -> None:
        """Load the learner's folder, an artifact of the version, after checking its digests."""
        import cl

        self.version = cl.load_version(Path(context.artifacts["learner"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one prediction per row, in the order of the rows; for a missing value None, and why in ``error``."""
        return self.version.predict(model_input)


set_model(LearnerModel())
