"""A store that was lost is named with what to do, and the project goes on from what is left."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cl.commands.ledger import audit, repair_ledger
from cl.commands.predict import predict_texts
from cl.commands.promotion import roll_back
from cl.errors import IntegrityError
from cl.lifecycle import run_waiting
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from tests.support.tiny import QUICK, made_sentences


@pytest.fixture
def shop(champion_shop):
    project = champion_shop(training=QUICK)
    made_sentences(["loan", "fee", "box"], 60, seed=2).to_csv(project.root / "inbox" / "two.csv", index=False)
    assert [cycle.verdict for cycle in run_waiting(project)] == ["promoted"]
    return project


def test_a_lost_registry_is_named_and_everything_is_learned_again_from_the_data(shop, tmp_path) -> None:
    # elsewhere: this process has the lost file open
    left = shutil.copytree(shop.root, tmp_path / "left", ignore=shutil.ignore_patterns("mlflow.db*"))
    shop = ProjectFolder(Path(left))
    for move in (lambda: run_waiting(shop), lambda: roll_back(shop.root, None, why="a wish")):
        with pytest.raises(IntegrityError, match=r"its database was lost; restore .* cl audit --repair none"):
            move()
    assert audit(shop.root)["broken"]["sequence"] == 2
    assert repair_ledger(shop.root, "none", why="the disk died")["whole"]
    assert [cycle.verdict for cycle in run_waiting(shop)] == ["promoted", "promoted"]
    found = audit(shop.root)
    assert found["whole"] and [entry["action"] for entry in found["entries"]] == ["repair", "promote", "promote"]
    (answer,) = predict_texts(shop.root, ["my loan"])
    assert answer["version"] == "2"


def test_a_lost_ledger_adopts_nothing_in_silence(shop) -> None:
    (shop.root / "mlflow" / "ledger.db").unlink()
    made_sentences(["loan", "fee", "lamp"], 60, seed=3).to_csv(shop.root / "inbox" / "three.csv", index=False)
    with pytest.raises(IntegrityError, match="entry 1 of 'shop' cannot be trusted: it is missing"):
        run_waiting(shop)
    assert open_project(shop.root).stores.registry.champion() == "2"
    assert not audit(shop.root)["whole"]
    assert repair_ledger(shop.root, "2", why="it has served")["whole"]
    assert [cycle.verdict for cycle in run_waiting(shop)] == ["promoted"]


def test_a_copy_on_this_machine_that_was_damaged_is_replaced_and_the_store_s_is_refused(shop) -> None:
    stores = open_project(shop.root).stores
    folder = stores.champion_folder("2")
    assert folder is not None
    (folder / "head.safetensors").write_bytes(b"x")
    again = stores.champion_folder("2")
    assert again == folder and (folder / "head.safetensors").stat().st_size > 1
    for stored in (shop.root / "mlflow" / "artifacts").rglob("head.safetensors"):
        stored.write_bytes(b"x")
    assert stores.champion_folder("2") == folder, "this machine's copy is whole"
    shutil.rmtree(folder)
    with pytest.raises(IntegrityError, match=r"head\.safetensors was changed"):
        stores.champion_folder("2")
