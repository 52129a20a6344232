"""What a version learnt that does not serve: learnt along by the next one, unless a person has said no."""

from __future__ import annotations

import pytest

from cl import config as configuration
from cl.lifecycle import run_waiting
from cl.promotion.approval import record_decision
from cl.promotion.by_hand import rollback
from cl.records import Cycle
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores, open_stores
from tests.support.tiny import QUICK, made_sentences


@pytest.fixture
def shop(champion_shop) -> ProjectFolder:
    """A project whose versions wait for a person from the second one on."""
    return champion_shop(training=QUICK, promotion={"approval": "person"})


def month(project: ProjectFolder, name: str, label: str) -> Cycle:
    """Learn a month that has a label of its own."""
    seed = sum(map(ord, name))
    made_sentences(["loan", label], 60, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)
    (cycle,) = run_waiting(project)
    return cycle


def stores_of(project: ProjectFolder) -> Stores:
    return open_stores(project, configuration.load(project.config))


def test_what_was_passed_over_is_learnt_along_and_what_was_rejected_is_not(shop) -> None:
    assert month(shop, "two", "box").verdict == "waiting"
    third = month(shop, "three", "shoe")
    assert third.training.experiences == ["0002-two", "0003-three"], "version 2 waits, and may be passed over"
    record_decision(shop, "3", yes=False, why="the shoes are wrong")
    fourth = month(shop, "four", "lamp")
    assert fourth.training.experiences == ["0002-two", "0004-four"]
    record_decision(shop, "4", yes=True, why="")
    assert stores_of(shop).registry.aliases() == {"champion": "4"}


def test_what_was_approved_and_rolled_back_is_not_learnt_along(shop) -> None:
    month(shop, "two", "box")
    record_decision(shop, "2", yes=True, why="")
    stores = stores_of(shop)
    rollback(stores.registry, stores.ledger, None, why="bad boxes")
    third = month(shop, "three", "shoe")
    assert third.champion_before == "1" and third.training.experiences == ["0003-three"]
    assert third.training.labels_added == ["shoe"], "nothing of the bad version is left"
