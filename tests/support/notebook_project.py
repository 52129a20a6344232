"""A project as a notebook makes it, on the tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

import cl


@pytest.fixture
def project(tiny_model: Path, tmp_path: Path) -> cl.Project:
    settings = {
        "model": {"name": str(tiny_model), "max_length": 16},
        "training": {"epochs": 3, "batch_size": 8},
        "evaluation": {"robustness": [], "latency_calls": 3, "smoke_rows": 4},
        "gates": [{"name": "floor", "min": 0.1}],
        "drift": {"report": "off"},
    }
    return cl.Project.create(tmp_path / "shop", settings=settings)
