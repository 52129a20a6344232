"""What MLflow reads around it: settings that keep it quiet, and the packages that a version needs."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.metadata import version

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what it logs as an error it also raises, and that is told in one line
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SERVING_PACKAGES = (
    "perennial",
    "torch",
    "transformers",
    "safetensors",
    "pandas",
    "numpy",
    "pydantic",
    "mlflow",
)


def silence_mlflow() -> None:
    """Set what MLflow reads when it is imported, unless the user has, and its loggers' level."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])
    warnings.filterwarnings("ignore", module="mlflow")


def requirements(*more: str) -> list[str]:
    """Return what serving needs, as installed here but as others can install it: no `+cpu`."""
    return [f"{name}=={version(name).split('+')[0]}" for name in (*SERVING_PACKAGES, *more)]
