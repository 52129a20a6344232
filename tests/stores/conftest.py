"""The databases that a ledger may lie in."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def any_uri(request, tmp_path) -> str:
    """A database without a ledger: SQLite, and Postgres where there is one."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    return request.getfixturevalue("postgres").database("ledger")
