from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cl.chain import breach
from cl.commands.audit import audit_of, champion_of, moment_of
from cl.commands.champion import decide_version, promote_version
from cl.errors import ConflictError, InputError
from cl.scaffold import scaffold
from cl.stores.ledger import Ledger
from cl.stores.mlflow import Registry
from tests.conftest import serve


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T12:00:00+01:00", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-01T12:00Z", datetime(2026, 3, 1, 12, tzinfo=UTC)),
        ("2026-03-01T12:00", datetime(2026, 3, 1, 12).astimezone()),
        ("2026-03-01", datetime(2026, 3, 1, 23, 59, 59, 999_999).astimezone()),
    ],
)
def test_a_time_is_read_with_or_without_zone_and_a_date_is_its_last_moment(text, moment) -> None:
    assert moment_of(text) == moment


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "12:00", "0001-01-01T00:00+23:00"])
def test_what_is_no_time_is_told(text) -> None:
    with pytest.raises(InputError, match="--as-of"):
        moment_of(text)


@pytest.fixture
def project(registry, tmp_path):
    """A project on the database of the tests, with a ledger of its own in which version 1 serves."""
    stores = f"{{tracking_uri: '{registry.tracking_uri}', artifacts: '{registry.artifacts}'}}"
    project = scaffold(tmp_path / "shop", f"name: {registry.model}\nstores: {stores}\n")
    serve(registry, Ledger(f"sqlite:///{project.root}/mlflow/ledger.db"), "1")
    return project


def test_the_audit_compares_each_verdict_with_the_one_that_the_registry_keeps(registry: Registry, project) -> None:
    assert audit_of(project.root)["whole"]
    registry._client.set_model_version_tag(registry.model, "1", "cl.gates_digest", "f" * 64)
    found = audit_of(project.root)
    assert not found["whole"] and found["broken"]["sequence"] == 1
    assert "another verdict than the registry keeps of version 1" in found["broken"]["why"]


def test_the_champion_at_a_time_is_the_ledgers_not_the_alias(registry: Registry, project) -> None:
    registry.set_alias("champion", "2")
    assert champion_of(project.root, None)["champion"]["to_version"] == "1"
    assert champion_of(project.root, "2001-01-01")["champion"] is None
    promote_version(project.root, "2", alias="canary", share=None, why="", despite_gates=False)
    now = champion_of(project.root, None)
    assert (now["canary"]["to_version"], now["canary"]["share"], now["shadow"]) == ("2", 0.1, None)
    actions = [one["action"] for one in audit_of(project.root)["entries"]]
    assert actions == ["promote", "alias_moved", "promote"], "the alias was put back first, and that is told"


def test_an_answer_by_hand_is_refused_where_nothing_waits(registry: Registry, project) -> None:
    with pytest.raises(InputError, match="does not wait for approval"):
        decide_version(project.root, "2", yes=True, why="")
    with pytest.raises(InputError, match="--share is for a canary"):
        promote_version(project.root, "2", alias="champion", share=0.5, why="", despite_gates=False)
    with pytest.raises(ConflictError):
        promote_version(project.root, "4", alias="champion", share=None, why="", despite_gates=False)
        promote_version(project.root, "2", alias="champion", share=None, why="", despite_gates=False)
    entries = Ledger(f"sqlite:///{project.root}/mlflow/ledger.db").entries(registry.model)
    assert breach(registry.model, entries) is None
