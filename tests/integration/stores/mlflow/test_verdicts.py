"""A tag does not let a version serve that its verdict refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl.errors import RefusedError
from cl.promotion.by_hand import promote_by_hand, rollback
from cl.promotion.promote import promote
from cl.promotion.repair import repair_aliases
from cl.records import GateReport, Registration, Verdict
from cl.stores.files import sha256
from cl.stores.ledger.ledger import Ledger
from cl.stores.manifest import write_manifest
from cl.stores.mlflow.registry import COMPARED, DIGEST, GATES, Registry
from cl.stores.mlflow.version_files import RECORD


@pytest.fixture
def registry(tmp_path) -> Registry:
    registry = Registry(f"sqlite:///{tmp_path}/m.db", str(tmp_path / "artifacts"), "shop")
    registry.initialise()
    return registry


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(f"sqlite:///{tmp_path}/ledger.db")


def registered(registry: Registry, folder: Path, *, passed: bool) -> str:
    """Register a version with a verdict, and return it."""
    folder.mkdir()
    verdict = Verdict(gate="floor", passed=passed, why="0.9, at least 0.5")
    for name, text in {
        "learner.json": '{"task": {"name": "text_classification"}}',
        "gates.json": GateReport(passed=passed, verdicts=[verdict]).model_dump_json(indent=1),
        "history.json": "{}",
        "evaluation.json": "{}",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    write_manifest(folder)
    run = registry.runs.start_run(folder.name, folder.name, {})
    registry.files.log_record(run, folder)
    tags = {
        "cl.cycle_id": folder.name,
        COMPARED: registry.champion() or "",
        GATES: "passed" if passed else "failed",
        DIGEST: sha256(folder / "gates.json"),
    }
    return registry.log_version(run, folder, tags=tags, metrics={})


@pytest.fixture
def tagged(registry, ledger, tmp_path) -> str:
    """A second version, which was refused, and has the tag of one that passed."""
    first = registered(registry, tmp_path / "first", passed=True)
    promote(registry, ledger, Registration(version=first, passed=True), expected=None, why="it passed")
    second = registered(registry, tmp_path / "second", passed=False)
    registry.tag_version(second, GATES, "passed")
    return second


def test_a_tag_that_contradicts_the_verdict_is_named_and_moves_nothing(registry, ledger, tagged) -> None:
    with pytest.raises(RefusedError, match=r"tag cl\.gates says passed, but its verdict refuses it \(floor\)"):
        promote(registry, ledger, Registration(version=tagged, passed=True), expected="1", why="it passed")
    with pytest.raises(RefusedError, match="its verdict refuses it"):
        promote_by_hand(registry, ledger, tagged, why="a wish")
    with pytest.raises(RefusedError, match="its verdict refuses it"):
        rollback(registry, ledger, tagged, why="a wish")
    assert registry.champion() == "1" and len(ledger.entries("shop")) == 1


def test_an_empty_ledger_adopts_no_champion_whose_verdict_refuses_it(registry, tagged, tmp_path) -> None:
    registry.set_alias("champion", tagged)
    registry.runs.client.delete_registered_model_tag("shop", "cl.ledger_head")
    with pytest.raises(RefusedError, match="its verdict refuses it"):
        repair_aliases(registry, Ledger(f"sqlite:///{tmp_path}/empty.db"))


def test_a_verdict_that_was_rewritten_is_not_the_registered_one(registry, ledger, tagged, tmp_path) -> None:
    stored = [path for path in (tmp_path / "artifacts").rglob("gates.json") if path.parent.name == RECORD]
    for path in stored:
        path.write_text(path.read_text().replace('"passed": false', '"passed": true'))
    with pytest.raises(RefusedError, match=r"gates\.json was changed after it was registered"):
        promote_by_hand(registry, ledger, tagged, why="a wish")


def test_a_version_that_passed_comes_back_unless_the_ledger_cites_another_verdict(registry, ledger, tmp_path) -> None:
    for name in ("first", "second"):
        version = registered(registry, tmp_path / name, passed=True)
        expected = ledger.champion("shop")
        promote(registry, ledger, Registration(version=version, passed=True), expected=expected, why="it passed")
    assert all(entry.manifest_digest for entry in ledger.entries("shop"))
    assert rollback(registry, ledger, "1", why="back").to_version == "1"
    registry.tag_version("2", DIGEST, "0" * 64)
    with pytest.raises(RefusedError, match=r"tag cl\.gates_digest is not the verdict that the ledger cites"):
        rollback(registry, ledger, "2", why="forth")
