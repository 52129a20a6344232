"""A champion forgets rows: it is what it would be had it never seen them, whenever the command is killed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cl.commands.distil import distil_version
from cl.commands.forget import forget_rows
from cl.lifecycle import run_waiting
from cl.models.snapshot import load_reference
from cl.promotion.by_hand import promote_by_hand
from cl.revision import forget
from cl.stores.data.tombstones import read_removals
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_folder import load_history
from tests.support.forgetting import RANPAC, arrives, forgotten, ids_of, shop, version
from tests.support.tiny import made_sentences
from tests.support.traces import traces_of
from tests.support.versions import assert_same_version


def two_of_a_kind(folder: Path, tiny_model: Path) -> tuple[pd.DataFrame, ProjectFolder, ProjectFolder]:
    """Return rows, a project that has learnt them in closed form, and one like it that has learnt nothing yet."""
    rows = made_sentences(["loan", "fee"], 60, seed=1)
    with_them, without = (shop(folder / name, tiny_model, strategy=RANPAC) for name in ("with", "without"))
    arrives(with_them, "one", rows)
    run_waiting(with_them)
    return rows, with_them, without


def _found(name: str):
    import importlib

    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        place, _, kind = module.rpartition(".")
        return getattr(getattr(importlib.import_module(place), kind), attribute)


def test_a_champion_in_closed_form_is_what_it_would_be_had_it_never_seen_the_rows(tmp_path, tiny_model) -> None:
    rows, with_them, without = two_of_a_kind(tmp_path, tiny_model)
    at = open_project(with_them.root)
    gone = [ids_of(at, "0001-one", split)[2] for split in ("train", "validation", "test")]
    arrives(without, "one", rows[~rows["id"].isin(gone)])
    run_waiting(without)

    done = forgotten(with_them, gone, why="a wish")
    assert done["version"] == "2" and done["exact"] and done["withdrawn"] == ["1"]
    assert_same_version(version(with_them, "2"), version(without, "1"))
    ours, theirs = (load_reference(version(*one)) for one in ((with_them, "2"), (without, "1")))
    assert ours.frame.equals(theirs.frame) and (ours.embeddings == theirs.embeddings).all()
    assert load_history(version(with_them, "2")).parent == "1"
    entry = at.stores.ledger.entries("shop")[-1]
    assert (entry.from_version, entry.to_version) == ("1", "2")
    assert entry.why == "3 rows were forgotten (removal 1): a wish"

    arrives(with_them, "one", rows)
    assert run_waiting(with_them) == [], "the source still has the rows: they are not taken in again"
    for project in (with_them, without):
        arrives(project, "two", made_sentences(["loan", "box"], 60, seed=2))
        run_waiting(project)
    assert_same_version(version(with_them, "3"), version(without, "2"))


def test_what_replaces_a_champion_in_int8_is_made_of_the_version_that_learnt(tmp_path, tiny_model) -> None:
    rows, with_them, without = two_of_a_kind(tmp_path, tiny_model)
    at = open_project(with_them.root)
    assert distil_version(with_them.root, "1", form="int8")["version"] == "2"
    promote_by_hand(at.stores.registry, at.stores.ledger, "2", why="small")
    gone = ids_of(at, "0001-one", "train")[:3]
    arrives(without, "one", rows[~rows["id"].isin(gone)])
    run_waiting(without)

    done = forgotten(with_them, gone)
    assert done["version"] == "3" and done["exact"] and done["withdrawn"] == ["1", "2"]
    assert_same_version(version(with_them, "3"), version(without, "1"))
    history = load_history(version(with_them, "3"))
    assert history.parent == "1" and history.form is None


@pytest.mark.nightly
def test_a_solved_head_forgets_exactly_until_a_rung_has_trained_the_encoder_beneath_it(tmp_path, tiny_model) -> None:
    project = shop(
        tmp_path / "shop",
        tiny_model,
        ladder=[{"name": "solve", "strategy": "ncm"}, {"name": "full", "epochs": 2}],
        climb={"pick": "first"},
        decide={"rung": {"new_classes": "full"}},
        drift={"report": "off", "detectors": ["new_labels"]},
    )
    arrives(project, "one", made_sentences(["loan", "fee"], 60, seed=1))
    run_waiting(project)
    first = ids_of(open_project(project.root), "0001-one", "train")
    assert forgotten(project, first[:1])["exact"], "though the configuration's own strategy trains"
    arrives(project, "two", made_sentences(["loan", "box"], 60, seed=2))
    (second,) = run_waiting(project)
    assert second.rung == "full"
    arrives(project, "three", made_sentences(["loan", "fee"], 60, seed=3))
    run_waiting(project)
    (third,) = run_waiting(project, again="0003-three")
    assert third.rung == "solve"
    assert not forgotten(project, first[1:2])["exact"], "weights beneath the head have learnt from it"


@pytest.mark.nightly
def test_killed_at_any_step_and_run_again_or_followed_by_a_run_it_ends_whole(tmp_path, tiny_model, monkeypatch) -> None:
    class KilledError(Exception):
        pass

    project = shop(tmp_path / "shop", tiny_model, strategy=["replay", "ewc"])
    arrives(project, "one", made_sentences(["loan", "fee"], 120, seed=1))
    run_waiting(project)
    at = open_project(project.root)
    steps = [
        "cl.revision.forget.remove_from_experience",
        "cl.revision.forget.write_removal",
        "cl.stores.data.dvc.DataVersions.commit",
        "cl.stores.data.dvc.DataVersions.erase",
        "cl.revision.forget.remove_from_log",
        "cl.revision.unlearn.save_version",
        "cl.promotion.replace_champion.register",
        "cl.promotion.replace_champion.promote",
        "cl.stores.mlflow.registry.Registry.tag_version",
        "cl.revision.forget.remove_derived",
    ]
    for count, step in enumerate(steps, 1):
        row = at.stores.experiences.rows("0001-one", "train").iloc[0]
        wanted = forget.plan_removal(at.config, at.stores, f"id == '{row['id']}'", by="me", why="", everywhere=True)
        forget.begin_removal(project, wanted)
        with monkeypatch.context() as patch:
            real = _found(step)

            def deadly(*given, real=real, **named):
                real(*given, **named)
                raise KilledError

            patch.setattr(step, deadly)
            with pytest.raises(KilledError):
                forget.finish_removal(at.config, at.stores)
        if count % 2:
            run_waiting(project)
        else:
            forget_rows(project.root, f"id == '{row['id']}'", why="", everywhere=True, dry_run=False)
        assert traces_of(project.root, [row["id"]], [row["text"]]) == [], step
        assert at.stores.ledger.champion("shop") == str(count + 1), step
        assert len(read_removals(project)) == count and at.stores.experiences.get("0001-one").forgotten == count
        assert at.stores.data.is_clean() and not (project.work / "forgetting").exists()
