"""A shop that forgets rows, and what is known of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cl.commands.forget import forget_rows
from cl.stores.opened import OpenProject, open_project
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import tiny_project

LENIENT = [{"name": "floor", "min": 0.0}]
RANPAC = {"name": "ranpac", "features": 64}


def shop(folder: Path, tiny_model: Path, **changes: object) -> ProjectFolder:
    return tiny_project(folder, tiny_model, **{"gates": LENIENT, **changes})


def arrives(project: ProjectFolder, name: str, rows: pd.DataFrame) -> None:
    rows.to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def version(project: ProjectFolder, number: str) -> Path:
    folder = open_project(project.root).stores.champion_folder(number)
    assert folder is not None
    return folder


def ids_of(at: OpenProject, experience: str, split: str) -> list[str]:
    return at.stores.experiences.rows(experience, split)["id"].tolist()


def forgotten(project: ProjectFolder, ids: list[str], **given: object) -> dict:
    return forget_rows(project.root, f"id in {ids}", **{"why": "", "everywhere": False, "dry_run": False, **given})
