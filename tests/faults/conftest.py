"""One prepared project for all faults of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.prepared import Prepared, prepare


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Prepared:
    return prepare(tmp_path_factory.mktemp("faults"), tiny_model)
