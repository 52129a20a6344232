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
        """Load the learner's folder, which the version carries as an artifact, when its digests are right."""
        import cl

        self.version = cl.load_version(Path(context.artifacts["learner"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one prediction a row, in the rows' order."""
        return self.version.predict(model_input)


set_model(LearnerModel())
