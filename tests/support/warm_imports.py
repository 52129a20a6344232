"""What the warm process imports: everything that a cycle needs, and nothing that opens a store."""

from __future__ import annotations

import importlib

from cl import plugins
from cl.stores.mlflow.environment import silence_mlflow

silence_mlflow()
for module in (
    "alembic.command",
    "cl.backtesting.run",
    "cl.backtesting.backtest",
    "cl.commands.promotion",
    "cl.commands.forget",
    "cl.commands.run",
    "cl.lifecycle",
    "cl.registry.smoke_test",
    "cl.revision.unlearn",
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
for kind in plugins.KINDS:
    for name in plugins.names(kind):
        plugins.find(kind, name)

from mlflow.utils.requirements_utils import _init_packages_to_modules_map  # noqa: E402

_init_packages_to_modules_map()  # reads the metadata of all packages, a second a process
