"""MLflow's environment: settings that keep it quiet, and the packages that a version needs."""

from __future__ import annotations

import logging
import os
import warnings
from importlib.metadata import version

from cl import __version__
from cl.extras import DISTRIBUTION
from cl.process.lazy_packages import lazily

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # MLflow also raises what it logs as an error, and that is reported in one line
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
SERVING_PACKAGES = (
    "torch",
    "transformers",
    "safetensors",
    "pandas",
    "numpy",
    "pydantic",
    "mlflow",
)


def silence_mlflow() -> None:
    """Set the variables that MLflow reads on import, unless the user has set them, and the level of its loggers."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])
    warnings.filterwarnings("ignore", module="mlflow")


def import_mlflow(tracking_uri: str) -> None:
    """Import what every cycle uses of MLflow, quiet, and without the part that judges the answers of chat models."""
    silence_mlflow()
    with lazily("mlflow.gateway", "mlflow.genai", "mlflow.genai.judges", "mlflow.genai.scorers"):
        import mlflow.pyfunc.model
        import mlflow.utils.environment

        if not tracking_uri.startswith(("http://", "https://")):
            import mlflow.store.model_registry.sqlalchemy_store
            import mlflow.store.tracking.sqlalchemy_store
    # it reads the metadata of all installed packages, to warn where the pins are not met that `requirements` has read
    # from these packages; what it says is silenced anyway
    vars(mlflow.utils.environment)["warn_dependency_requirement_mismatches"] = lambda model_requirements: None


def requirements(*more: str) -> list[str]:
    """Return the pinned packages for serving, in the installed versions but without local suffixes such as `+cpu`."""
    installed = {DISTRIBUTION: __version__, **{name: version(name) for name in (*SERVING_PACKAGES, *more)}}
    return [f"{name}=={number.split('+')[0]}" for name, number in installed.items()]
