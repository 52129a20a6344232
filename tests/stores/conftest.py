"""A learner as stores get it, and the databases that a ledger may lie in."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl.config import parse
from cl.stores.local import write_manifest


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    from cl.training.learner import grown, new_learner, save_learner

    folder = tmp_path_factory.mktemp("learners") / "challenger"
    folder.mkdir()
    config = parse({"model": {"name": str(tiny_model)}}, where="test")
    save_learner(grown(new_learner(config), ["fee", "loan"], seed=0), folder)
    write_manifest(folder)
    return folder


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def any_uri(request, tmp_path) -> str:
    """A database without a ledger: SQLite, and Postgres where there is one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return request.getfixturevalue("postgres").database("ledger")
