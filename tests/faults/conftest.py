"""One prepared project for all faults of a session, and each fault a few times or many times."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.prepared import Prepared, prepare
from tests.faults.suite import FEW, MANY, Bench

AMOUNTS = [
    pytest.param(FEW, id="few"),
    pytest.param(MANY, id="many", marks=[pytest.mark.nightly, pytest.mark.timeout(4 * 3600)]),
]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Prepared:
    return prepare(tmp_path_factory.mktemp("faults"), tiny_model)


@pytest.fixture(params=AMOUNTS)
def bench(request: pytest.FixtureRequest, project: Prepared, tmp_path: Path, tiny_model: Path) -> Bench:
    return Bench(project, tmp_path, tiny_model, request.param, seed=0)
