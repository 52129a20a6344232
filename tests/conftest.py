"""Small real things for the tests: a tiny BERT with random weights, rows, a configuration."""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from xdist.scheduler import LoadFileScheduling

from cl.config import Config, parse
from cl.promote import promote
from cl.records import Registration
from cl.scaffold import scaffold
from cl.stores.ledger import Ledger
from cl.stores.local import Project
from cl.stores.mlflow import Registry
from tests.postgres import Postgres, running_postgres

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

WORDS = [
    "my",
    "card",
    "is",
    "lost",
    "stolen",
    "where",
    "the",
    "parcel",
    "order",
    "money",
    "loan",
    "fee",
    "please",
    "help",
    "new",
    "old",
    "pay",
    "send",
    "back",
    "broken",
    "box",
    "shoe",
    "lamp",
    "tuesday",
    "york",
    "paris",
    "bank",
    "visited",
    "lives",
    "in",
    "anna",
    "ben",
    "said",
    "goes",
    "to",
    "from",
    "works",
    "at",
]


class FilesApart(LoadFileScheduling):
    """A process of several takes a whole file at a time; of the files that need to be alone, one takes all."""

    @functools.cached_property
    def alone(self) -> set[str]:
        """Names of files whose tests carry that mark: who shares them out has not collected them."""
        return {
            path.name for path in Path(__file__).parent.rglob("test_*.py") if "pytest.mark.alone" in path.read_text()
        }

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "alone" if Path(file).name in self.alone else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesApart:
    """Let several processes share the tests so, whatever --dist says."""
    return FilesApart(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those that need to be alone begin first: they wait a great deal, and the others go on beside them."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is None)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A Postgres server; what asks for it is skipped, and says why, where there is none."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a two-layer BERT of width 32 and a word-piece tokenizer of a few words."""
    return made_tiny_model(tmp_path_factory.mktemp("tiny"))


def made_tiny_model(folder: Path) -> Path:
    """Save a two-layer BERT with random weights, and its tokenizer, in a folder."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder.mkdir(exist_ok=True)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "##s", "##ly"]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    BertTokenizerFast(vocab={word: at for at, word in enumerate(vocabulary)}).save_pretrained(folder)
    return folder


@pytest.fixture
def sentences() -> Callable[..., pd.DataFrame]:
    """Rows whose label is told by one of their words; each class has its own."""

    return made_sentences


def made_sentences(labels: list[str], rows: int, seed: int = 0, prefix: str = "r") -> pd.DataFrame:
    """Make rows of the given labels in turn."""
    rng = np.random.default_rng(seed)
    chosen = [labels[at % len(labels)] for at in range(rows)]
    texts = [
        " ".join([*rng.choice(WORDS, size=int(rng.integers(2, 9))), WORDS[sum(map(ord, label)) % 25], label])
        for label in chosen
    ]
    ids = [f"{prefix}{seed}-{at}" for at in range(rows)]
    return pd.DataFrame({"id": ids, "text": texts, "label": chosen, "date": None})


@pytest.fixture
def tiny_config(tiny_model: Path) -> Callable[..., Config]:
    """A configuration on the tiny model; keyword arguments replace its top-level keys."""

    def make(**changes: object) -> Config:
        raw = {
            "model": {"name": str(tiny_model), "dropout": 0.0},
            "training": {"epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "precision": "float32"},
            "drift": {"detectors": []},
            **changes,
        }
        return parse(raw, where="test")

    return make


def tiny_project(folder: Path, tiny_model: Path, **changes: object) -> Project:
    """Make a project that reads its inbox and learns in a second; keyword arguments replace top-level keys."""
    raw = {
        "name": "shop",
        "model": {"name": str(tiny_model), "dropout": 0.0},
        "training": {
            "epochs": 25,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "head_learning_rate": 1e-2,
            "precision": "float32",
        },
        "data": {"source": {"name": "files", "path": "inbox"}, "split": {"validation": 0.1, "test": 0.3}},
        "drift": {"report": "off"},
        "gates": [{"name": "floor", "min": 0.1}],
        "evaluation": {"smoke_rows": 0},  # a fresh process for each version takes longer than all the rest
        "triggers": {"settle_seconds": 0},
        **changes,
    }
    project = scaffold(folder, yaml.safe_dump(raw))
    (project.root / "inbox").mkdir()
    (project.root / "mlflow" / "mlflow.db").write_bytes(mlflow_database())
    return project


@functools.cache
def mlflow_database() -> bytes:
    """Return a database as MLflow makes it: each of its own would be made by all of MLflow's migrations, in seconds."""
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as folder:
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
        return Path(folder, "mlflow.db").read_bytes()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one MLflow database for all tests that move aliases; each has a model and a ledger of its own."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "m.db").write_bytes(mlflow_database())
    return folder


@pytest.fixture
def registry(store: Path, request: pytest.FixtureRequest) -> Registry:
    """A model with four versions, of which the third failed its gates."""
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
    return Ledger(f"sqlite:///{tmp_path}/ledger.db")


def serve(registry: Registry, ledger: Ledger, *versions: str) -> None:
    """Let versions that passed serve, one after the other."""
    for version in versions:
        passed = Registration(version=version, passed=True)
        promote(registry, ledger, passed, expected=ledger.champion(registry.model), why="test")
