"""What the warm process imports: everything that a cycle needs, and nothing that opens a store."""

from __future__ import annotations

import importlib

from cl import plugins
from cl.stores.environment import quieten

quieten()
for module in (
    "alembic.command",
    "cl.backtesting.run",
    "cl.backtest",
    "cl.commands.champion",
    "cl.commands.forget",
    "cl.commands.run",
    "cl.lifecycle",
    "cl.smoke",
    "cl.unlearn",
    "dvc.fs",
    "dvc.repo",
    "dvc.repo.add",
    "dvc.repo.graph",
    "dvc.repo.push",
    "git",
    "mlflow.pyfunc.model",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "networkx",
    "pyarrow.parquet",
    "ruamel.yaml",
    "scipy.ndimage",
    "scipy.stats",
    "sklearn.metrics",
    "sklearn.preprocessing",
    "sqlalchemy.dialects.sqlite",
    "transformers.models.bert",
):
    importlib.import_module(module)
for folder in ("strategies", "detectors", "gates", "buffers", "sources", "tasks", "tunings"):
    for name in plugins.names(folder):
        plugins.find(folder, name)

from mlflow.utils.requirements_utils import _init_packages_to_modules_map  # noqa: E402

_init_packages_to_modules_map()  # reads the metadata of all packages, a second a process
