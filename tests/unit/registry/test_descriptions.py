"""What MLflow's pages say of a version, move after move, in a registry and a ledger in memory."""

from __future__ import annotations

import logging

import pytest

from cl.config import PromotionSettings
from cl.errors import StoreError
from cl.promotion.approval import approve, reject
from cl.promotion.promote import promote
from cl.promotion.withdraw_versions import withdraw_versions
from cl.records import Evaluation, GateReport, Registration, Score, Training, Verdict
from cl.registry.descriptions import MOST, describe_version, refresh_descriptions
from cl.testing import MemoryLedger, MemoryRegistry

BY_PERSON = PromotionSettings(approval="person")


@pytest.fixture
def registry() -> MemoryRegistry:
    return MemoryRegistry(model="shop")


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


def passes(
    registry: MemoryRegistry, ledger: MemoryLedger, version: str, wanted: PromotionSettings | None = None
) -> None:
    passed = Registration(version=version, passed=True)
    promote(registry, ledger, passed, expected=ledger.champion("shop"), why="learnt may", wanted=wanted)


def status(registry: MemoryRegistry, version: str) -> str:
    return registry.description(version).splitlines()[0].removeprefix("Status: ")


def test_a_version_that_waits_says_so_until_a_person_decides(registry, ledger) -> None:
    versions = [registry.add_version() for _ in range(4)]
    passes(registry, ledger, versions[0])
    passes(registry, ledger, versions[1], BY_PERSON)
    assert status(registry, "2") == "passed, and waits for approval: `cl approve 2` or `cl reject 2 --why TEXT`"
    passes(registry, ledger, versions[2], BY_PERSON)
    assert status(registry, "2") == "passed its gates, but does not serve", "another waits in its place"
    reject(registry, ledger, "3", why="sends <refunds> astray")
    assert status(registry, "3").startswith("rejected on 20") and status(registry, "3").endswith(
        "&lt;refunds&gt; astray"
    )
    passes(registry, ledger, versions[3], BY_PERSON)
    approve(registry, ledger, "4")
    assert status(registry, "4").startswith("champion since") and status(registry, "1").startswith("former champion")
    withdraw_versions(registry, ledger, ["1"], why="it has learnt rows that were forgotten")
    assert status(registry, "1") == "withdrawn, and cannot serve again: it has learnt rows that were forgotten"


@pytest.mark.parametrize(
    ("gates", "tags", "said"),
    [
        ("failed", {}, "refused by its gates"),
        ("failed", {"cl.smoke": "failed"}, "refused: it failed its smoke test"),
        ("pending", {}, "registered; its smoke test has not ended"),
        ("passed", {}, "passed its gates, but does not serve"),
    ],
)
def test_a_version_without_a_role_says_why(registry, ledger, gates, tags, said) -> None:
    version = registry.add_version(gates=gates, tags=tags)
    refresh_descriptions(registry, ledger.entries("shop"), [version, None])
    assert status(registry, version) == said
    assert registry.model_description().startswith("Status: no version serves.")


def test_a_move_succeeds_although_its_description_cannot_be_written(registry, ledger, monkeypatch, caplog) -> None:
    def refuse(*arguments: str) -> None:
        raise StoreError("MLflow is read-only for this user")

    version = registry.add_version()
    monkeypatch.setattr(MemoryRegistry, "describe_version", refuse)
    with caplog.at_level(logging.WARNING):
        passes(registry, ledger, version)
    assert registry.champion() == ledger.champion("shop") == version
    assert "are not up to date: MLflow is read-only" in caplog.text


@pytest.mark.parametrize("many", [1, 60, 3_000])
def test_a_description_has_a_bounded_length_and_always_says_how_to_promote(many) -> None:
    names = [f"label {number} `x`" for number in range(many)]
    text = describe_version(
        version="3",
        parent="2",
        compared="2",
        training=Training(
            challenger="", experiences=names, labels_added=names, epochs=1, steps=1, rows_new=1, rows_recalled=1,
            seconds=1.0, validation_score=None, losses=[],
        ),
        evaluation=Evaluation(
            metric="f1", challenger=[Score(experience="may", rows=4, value=0.5)], accuracy=0.5, calibration_error=None,
            latency_ms=None, size_mb=1.0, predictions="",
        ),
        gates=GateReport(passed=False, verdicts=[Verdict(gate=name, passed=False, why="w" * 900) for name in names]),
        why=["because " * 200] * many,
    )  # fmt: skip
    assert len(text) + 600 <= MOST + 1 and "`cl promote 3 --why TEXT`" in text and "mean f1" in text
    assert text.count("`") % 2 == 0 or "\\`" in text
