"""MLflow's environment: settings that keep it quiet, its errors in one line, and the packages that a version needs."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from cl import __version__
from cl.extras import DISTRIBUTION
from cl.process.lazy_packages import lazily
from cl.redaction import without_password
from cl.stores.error_messages import translate_store_errors

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


_IGNORED = ("ignore", None, Warning, re.compile("mlflow"), 0)


def silence_mlflow() -> None:
    """Set the variables that MLflow reads on import, unless the user has set them, and the level of its loggers."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    wanted = os.environ["MLFLOW_LOGGING_LEVEL"]
    for logger in map(logging.getLogger, ("mlflow", "alembic")):
        if logging.getLevelName(logger.level) != wanted:  # to set a level takes milliseconds where many have loggers
            logger.setLevel(wanted)
    if _IGNORED not in warnings.filters:
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


_LAST_STORE: list[str] = []
"""The store that this process used last."""


@contextmanager
def translate_mlflow_errors(tracking_uri: str) -> Iterator[None]:
    """Turn MLflow's errors into a one-line StoreError that names the store.

    MLflow caches where a run's files are by the run's id, which a copy of a project shares with the original: the cache
    is emptied when a process turns from one store to another.
    """
    silence_mlflow()
    if tracking_uri not in _LAST_STORE:
        _LAST_STORE[:] = [tracking_uri]
        if "mlflow.tracking" in sys.modules:
            from mlflow.tracking._tracking_service import utils

            utils._artifact_repos_cache.clear()
    with translate_store_errors(f"MLflow at {without_password(tracking_uri)}"):
        yield
