"""What every test may ask for: a tiny model, rows, a configuration, a registry, a ledger, a Postgres.

Nothing of the product is imported before a test asks for it, so that one test starts in a second.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pandas as pd

    from cl.config import Config
    from cl.stores.project_folder import ProjectFolder
    from cl.testing import MemoryLedger, MemoryRegistry
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


@pytest.fixture(autouse=True)
def _no_known_secret() -> Iterator[None]:
    """Forget the secrets that a test has hidden: in another test the same word may be none."""
    yield
    if redaction := sys.modules.get("cl.redaction"):
        redaction._known.clear()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres server; what asks for it is skipped, and says why, where there is none."""
    from tests.support.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def evidently_imported() -> None:
    """Evidently, whose import takes seconds that no test is charged for."""
    import evidently.presets  # noqa: F401


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


@pytest.fixture(scope="session")
def learnt_one(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> ProjectFolder:
    """A project whose champion has learnt loans and fees; its gates ask for nothing. Copy it: nobody may change it."""
    from cl.lifecycle import run_waiting
    from tests.support.tiny import made_sentences, tiny_project

    folder = tmp_path_factory.mktemp("learnt") / "shop"
    project = tiny_project(folder, tiny_model, gates=[{"name": "floor", "min": 0.0}])
    made_sentences(["loan", "fee"], 60, seed=1).to_csv(project.root / "inbox" / "one.csv", index=False)
    (cycle,) = run_waiting(project)
    assert cycle.verdict == "promoted"
    return project


@pytest.fixture
def champion_shop(learnt_one: ProjectFolder, tmp_path: Path) -> Callable[..., ProjectFolder]:
    """A copy of the project whose champion has learnt one experience; keyword arguments replace top-level keys."""
    from tests.support.templates import copied

    def make(**changes: object) -> ProjectFolder:
        return copied(learnt_one, tmp_path / "shop", **changes)

    return make


@pytest.fixture
def tiny_config(tiny_model: Path) -> Callable[..., Config]:
    """A configuration on the tiny model; keyword arguments replace its top-level keys."""
    from cl.config import parse

    def make(**changes: object) -> Config:
        raw = {
            "model": {"name": str(tiny_model), "dropout": 0.0},
            "training": {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32"},
            "drift": {"detectors": []},
            "strategy": "replay",
            **changes,
        }
        return parse(raw, where="test")

    return make


@pytest.fixture
def registry() -> MemoryRegistry:
    """A model with four versions, of which the third failed its gates."""
    from cl.testing import MemoryRegistry

    registry = MemoryRegistry()
    for at, gates in enumerate(("passed", "passed", "failed", "passed"), start=1):
        registry.add_version(gates=gates, digest=str(at) * 64, parent="" if at == 1 else "1")
    return registry


@pytest.fixture
def ledger() -> MemoryLedger:
    """A ledger without an entry."""
    from cl.testing import MemoryLedger

    return MemoryLedger()
