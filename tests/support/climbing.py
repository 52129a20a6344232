"""A shop whose first rung is too weak: an update climbs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cl.records import Cycle
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import made_sentences, tiny_project

WEAK = {"name": "weak", "strategy": "naive", "epochs": 1, "learning_rate": 1e-9, "head_learning_rate": 1e-9}
SOLVE = {"name": "solve", "strategy": "ncm"}
FULL = {"name": "full", "strategy": ["replay", "ewc"]}
WILD = {"name": "wild", "learning_rate": 1e30, "head_learning_rate": 1e30}
JOINT = {"name": "joint", "strategy": {"name": "joint", "restart": True}}
TWO = [WEAK, FULL]
CLIMBING = {
    "drift": {"report": "off", "detectors": ["new_labels"]},
    "ladder": TWO,
    "climb": {"pick": "first"},
    "gates": [{"name": "floor", "min": 0.8}],
}


@pytest.fixture(name="shop")
def climbing_shop(tmp_path: Path, tiny_model: Path) -> Callable[..., ProjectFolder]:
    """A shop in whose first inbox lie two labels: a weak rung cannot tell them apart, a full one can."""

    def made(name: str = "shop", **changes: Any) -> ProjectFolder:
        project = tiny_project(tmp_path / name, tiny_model, **{**CLIMBING, **changes})
        arrives(project, "one", ["loan", "fee"], seed=1)
        return project

    return made


def arrives(project: ProjectFolder, name: str, labels: list[str], *, seed: int, rows: int = 120) -> None:
    """Lay rows into the inbox; of 60, half are held out, and what the full rung learns of the rest is chance."""
    made_sentences(labels, rows, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def way(cycle: Cycle) -> list[tuple[str, bool]]:
    assert cycle.climb is not None
    return [(one.rung, one.passed) for one in cycle.climb.begun]
