from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cl.config import load
from cl.errors import ConfigError, ConflictError
from cl.lifecycle import run_waiting
from cl.monitoring.watch import watch
from cl.promotion.approval import record_decision
from cl.records import Cycle, Record
from cl.stores.journal import Journal
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores
from tests.support.tiny import QUICK, made_sentences, tiny_project

LENIENT = [{"name": "floor", "min": 0.0}]


@pytest.fixture
def shop(tmp_path: Path, tiny_model: Path) -> ProjectFolder:
    return tiny_project(tmp_path / "shop", tiny_model, gates=LENIENT, training=QUICK)


def arrives(project: ProjectFolder, name: str, labels: list[str], rows: int, seed: int) -> None:
    made_sentences(labels, rows, seed=seed).to_csv(project.root / "inbox" / f"{name}.csv", index=False)


def test_a_first_batch_without_test_rows_is_held_and_learnt_along_when_a_person_asks(tmp_path, tiny_model) -> None:
    data = {"source": {"name": "files", "path": "inbox"}, "split_column": "part"}
    project = tiny_project(tmp_path / "shop", tiny_model, gates=LENIENT, training=QUICK, data=data)
    rows = made_sentences(["loan", "fee"], 60, seed=1)
    rows.assign(part="train").to_csv(project.root / "inbox" / "one.csv", index=False)
    (first,) = run_waiting(project)
    assert first.verdict == "held" and "no test row" in first.decision.reasons[0]

    rows = made_sentences(["loan", "fee"], 60, seed=2)
    rows.assign(part=["train", "train", "test"] * 20).to_csv(project.root / "inbox" / "two.csv", index=False)
    (second,) = run_waiting(project)
    assert second.verdict == "promoted"
    (again,) = run_waiting(project, again="0001-one")
    assert again.verdict == "promoted" and again.decision.reasons[0] == "a person has asked for it"
    (once_more,) = run_waiting(project, again="0001-one")
    assert once_more.verdict == "none", "what the champion has learnt is not learnt twice"


def test_a_killed_second_attempt_is_gone_on_with_whatever_else_was_looked_at_since(champion_shop) -> None:
    shop = champion_shop(training=QUICK)

    class KilledError(Exception):
        pass

    def dying(stage: Callable[..., Any]) -> Callable[..., Any]:
        if stage.__name__ == "decide":
            raise KilledError
        return stage

    with pytest.raises(KilledError):
        run_waiting(shop, again="0001-one", executor=dying)
    (begun,) = [one.name for one in (shop.work / "cycles").iterdir()]

    arrives(shop, "two", ["loan", "fee"], 60, seed=2)
    (second,) = run_waiting(shop)
    (again,) = run_waiting(shop, again="0001-one")
    assert (second.verdict, again.id) == ("none", begun)
    assert (again.drift.check, second.drift.check) == (1, 2), "its check was made before"
    assert not list((shop.work / "cycles").iterdir())


def told(cycles: list[Cycle]) -> list[tuple[str, str]]:
    return [(cycle.experience.name, cycle.verdict) for cycle in cycles]


def test_small_lots_wait_for_one_another_and_are_then_learnt_together(shop) -> None:
    for lot in (1, 2, 3):
        arrives(shop, f"lot-{lot}", ["loan", "fee"], 14, seed=lot)
    first = run_waiting(shop)
    assert told(first) == [("lot-1", "none"), ("lot-2", "none"), ("lot-3", "promoted")]
    assert first[-1].training.experiences == ["0001-lot-1", "0002-lot-2", "0003-lot-3"]
    assert "are too few to learn from" in first[0].decision.reasons[0]

    arrives(shop, "lot-4", ["loan", "box"], 12, seed=4)
    (alone,) = run_waiting(shop)
    assert alone.drift.drifted and alone.decision.postponed and told([alone]) == [("lot-4", "none")]

    for lot in (5, 6):
        arrives(shop, f"lot-{lot}", ["loan", "fee"], 12, seed=lot)
    still, enough = run_waiting(shop)
    assert told([still, enough]) == [("lot-5", "none"), ("lot-6", "promoted")]
    assert not enough.drift.drifted, "it is learnt for what lot 4 has shown"
    assert enough.decision.reasons == ["new_labels: its alarm of 0004-lot-4 was postponed until now"]
    assert enough.training.labels_added == ["box"]
    assert enough.training.experiences == ["0004-lot-4", "0005-lot-5", "0006-lot-6"]


def test_no_two_checks_spend_the_same_share_of_alpha_nor_does_a_look_that_is_resumed_spend_another(
    champion_shop,
) -> None:
    shop = champion_shop(training=QUICK)
    (first,) = open_stores(shop, load(shop.config)).registry.runs.cycles()
    assert first.drift.check is None and first.drift.level is None, "there was no champion to compare with"

    arrives(shop, "two", ["loan", "box"], 60, seed=2)
    (seen,) = watch(shop)
    arrives(shop, "zero", ["loan", "fee"], 60, seed=3)
    looks = watch(shop)
    assert [look.experience.id for look in looks] == ["0002-two", "0003-zero"] and looks[0] == seen
    assert watch(shop) == looks and [look.drift.check for look in looks] == [1, 2]

    promoted, beside_another = run_waiting(shop)
    assert promoted.verdict == "promoted" and promoted.drift == looks[0].drift
    (again,) = run_waiting(shop, again=beside_another.experience.id)
    checks = [*(look.drift for look in looks), beside_another.drift, again.drift]
    assert [one.check for one in checks] == [1, 2, 3, 4]
    assert all(later.level < earlier.level for earlier, later in pairwise(checks))


def test_a_look_that_is_killed_before_it_has_noted_its_number_is_given_that_again(champion_shop, monkeypatch) -> None:
    shop = champion_shop(training=QUICK)

    class KilledError(Exception):
        pass

    def killed(journal: Journal, name: str, record: Record) -> None:
        if name == "check":
            raise KilledError
        write(journal, name, record)

    arrives(shop, "two", ["loan", "box"], 60, seed=2)
    write = Journal.write
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "write", killed)
        with pytest.raises(KilledError):
            watch(shop)
    (seen,) = watch(shop)
    assert seen.drift.check == 1
    (shop.work / "checks.json").write_text("7")  # as older versions have it
    arrives(shop, "three", ["loan", "fee"], 60, seed=3)
    assert [one.drift.check for one in watch(shop)] == [1, 8]


def test_a_control_arm_is_trained_beside_an_update_and_shown_and_only_the_challenger_is_registered(
    tmp_path, tiny_model
) -> None:
    training = {"epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "head_learning_rate": 1e-2}
    strange = {"out_of_scope": {"file": "strange.txt"}, "smoke_rows": 0}
    control = {**training, "control": {"rows": 20, "epochs": 2}}
    shop = tiny_project(tmp_path / "shop", tiny_model, gates=LENIENT, training=control, evaluation=strange)
    arrives(shop, "one", ["loan", "fee"], 60, seed=1)
    with pytest.raises(ConfigError, match=r"out_of_scope\.file: .*strange\.txt cannot be read"):
        run_waiting(shop)
    (shop.root / "strange.txt").write_text("tuesday in paris\n")
    (first,) = run_waiting(shop)
    assert first.evaluation.control is None, "a first model has nothing to forget"
    arrives(shop, "two", ["box"], 60, seed=2)
    (second,) = run_waiting(shop)
    told = second.evaluation.control
    assert (told.rows, told.epochs) == (20, 2) and told.forgetting_avoided is not None
    assert [one.experience for one in told.scores] == ["0001-one", "0002-two"]
    registry = open_stores(shop, load(shop.config)).registry
    assert [one.version for one in registry.versions()] == ["1", "2"]
    metrics = registry.runs.client.get_run(second.run).data.metrics
    for name in ("forgetting_avoided", "learning_cost", "oos_auroc", "brier"):
        assert f"challenger/{name}" in metrics
    assert "champion/latency_p95_ms" in metrics
    assert metrics["challenger/oos_auroc"] == second.evaluation.numbers["oos_auroc"]


def test_what_waits_for_a_person_is_learnt_along_by_the_next_cycle_and_what_was_rejected_is_not(
    tmp_path, tiny_model
) -> None:
    project = tiny_project(
        tmp_path / "shop", tiny_model, gates=LENIENT, training=QUICK, promotion={"approval": "person"}
    )
    arrives(project, "one", ["loan", "fee"], 60, seed=1)
    (first,) = run_waiting(project)
    assert first.verdict == "waiting" and first.promotion.version == "1" and first.champion_after is None
    assert not list((project.work / "cycles").iterdir()), "the cycle has ended; nothing is held while a person thinks"
    arrives(project, "two", ["loan", "fee"], 60, seed=2)
    (second,) = run_waiting(project)
    assert second.verdict == "waiting" and second.training.experiences == ["0001-one", "0002-two"]
    with pytest.raises(ConflictError, match="version 2 waits in its place"):
        record_decision(project, "1", yes=True, why="")
    record_decision(project, "2", yes=False, why="not yet")
    arrives(project, "three", ["loan", "fee"], 60, seed=3)
    (third,) = run_waiting(project)
    assert third.training.experiences == ["0001-one", "0003-three"], "of the first nobody has said no"
    assert record_decision(project, "3", yes=True, why="now").from_version is None
