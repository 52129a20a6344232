"""A project with one version that a student can learn from."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl.lifecycle import run_waiting
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import made_sentences, tiny_project

ONE_LAYER = {"student": {"layers": 1, "vocabulary": 40}, "epochs": 12, "learning_rate": 3e-3}


@pytest.fixture(scope="module", name="taught")
def taught_project(tmp_path_factory, tiny_model):
    """A project with one version, which was learnt with replay and EWC."""
    training = {"epochs": 15, "patience": 15, "batch_size": 8, "learning_rate": 3e-3, "precision": "float32"}
    folder = tmp_path_factory.mktemp("taught") / "shop"
    project = tiny_project(folder, tiny_model, strategy=["replay", "ewc"], training=training, distil=ONE_LAYER)
    made_sentences(["loan", "fee", "box"], 150, seed=1).to_csv(project.root / "inbox" / "one.csv", index=False)
    run_waiting(project)
    return project


def folder_of(project: ProjectFolder, version: str) -> Path:
    folder = open_project(project.root).stores.champion_folder(version)
    assert folder is not None
    return folder
