"""What every test may ask for: a tiny model, rows, a configuration, a registry, a ledger, a Postgres.

Nothing of the product is imported before a test asks for it, so that one test starts in a second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pandas as pd

    from cl.config import Config
    from cl.stores.ledger import Ledger
    from cl.stores.mlflow import Registry
    from tests.support.postgres import Postgres

pytest_plugins = ["tests.support.budget", "tests.support.folders", "tests.support.leftovers"]

os.environ.update(
    {
        "DO_NOT_TRACK": "true",
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TOKENIZERS_PARALLELISM": "false",
        # the models here are tiny: a second thread costs more than it does
        "OMP_NUM_THREADS": "1",
    }
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres server; what asks for it is skipped, and says why, where there is none."""
    from tests.support.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-layer BERT of width 32 and a word-piece tokenizer of a few words."""
    from tests.support.tiny import made_tiny_model

    return made_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def sentences() -> Callable[..., pd.DataFrame]:
    """Rows whose label is told by one of their words; each class has its own."""
    from tests.support.tiny import made_sentences

    return made_sentences


@pytest.fixture
def tiny_config(tiny_model: Path) -> Callable[..., Config]:
    """A configuration on the tiny model; keyword arguments replace its top-level keys."""
    from cl.config import parse

    def make(**changes: object) -> Config:
        raw = {
            "model": {"name": str(tiny_model), "dropout": 0.0},
            "training": {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32"},
            "drift": {"detectors": []},
            **changes,
        }
        return parse(raw, where="test")

    return make


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one MLflow database for all tests that move aliases; each has a model and a ledger of its own."""
    from tests.support.tiny import mlflow_database

    folder = tmp_path_factory.mktemp("store")
    (folder / "m.db").write_bytes(mlflow_database())
    return folder


@pytest.fixture
def registry(store: Path, request: pytest.FixtureRequest) -> Registry:
    """A model with four versions, of which the third failed its gates."""
    from cl.stores.mlflow import Registry

    name = re.sub("[^A-Za-z0-9_-]", "-", f"{request.module.__name__}-{request.node.name}")[-200:]
    registry = Registry(f"sqlite:///{store}/m.db", str(store), name)
    registry._client.create_registered_model(name)
    for at, gates in enumerate(("passed", "passed", "failed", "passed"), start=1):
        tags = {"cl.gates": gates, "cl.gates_digest": str(at) * 64, "cl.parent": "" if at == 1 else "1"}
        registry._client.create_model_version(name, store.as_uri(), tags=tags)
    return registry


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger without an entry."""
    from cl.stores.ledger import Ledger

    return Ledger(f"sqlite:///{tmp_path}/ledger.db")
