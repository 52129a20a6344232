"""A project whose weak rung can be searched for better settings."""

from __future__ import annotations

from pathlib import Path

import yaml

from cl.config import load
from cl.ingestion.ingest import ingest
from cl.ingestion.sources.files import Files
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import made_sentences


def searched_project(folder: Path, tiny_model: Path, *, epochs: int, trials: int) -> ProjectFolder:
    """A project with two experiences, and a rung that learns next to nothing as it is."""
    space = {"training.epochs": [1, epochs], "training.head_learning_rate": {"low": 1e-9, "high": 1e-2, "log": True}}
    weak = {"name": "weak", "strategy": "replay", "epochs": 1, "learning_rate": 1e-9, "head_learning_rate": 1e-9}
    raw = {
        "name": "shop",
        "model": {"name": str(tiny_model), "dropout": 0.0},
        "training": {"batch_size": 8, "patience": 25, "precision": "float32"},
        "data": {"split": {"validation": 0.3, "test": 0.1}},
        "ladder": [weak, {"name": "full"}],
        "tune": {"space": space, "trials": trials},
    }
    project = ProjectFolder(folder / "shop")
    project.root.mkdir()
    project.config.write_text(yaml.safe_dump(raw))
    for at, labels in enumerate((["loan", "fee"], ["box", "lamp"])):
        path = folder / f"{at}.csv"
        made_sentences(labels, 60, seed=at).to_csv(path, index=False)
        ingest(load(project.config), project, Files(path=str(path)))
    return project
