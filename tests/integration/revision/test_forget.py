"""Rows are forgotten: by the data, by all that is kept of them, and by the model."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from cl import config
from cl.cli.main import cl
from cl.commands.predict import predict_file
from cl.commands.promotion import roll_back
from cl.errors import InputError
from cl.lifecycle import run_waiting
from cl.stores.data.tombstones import read_removals
from cl.stores.opened import open_project
from cl.stores.project_folder import ProjectFolder
from cl.stores.version_folder import load_history
from cl.training.train import train
from tests.support.forgetting import RANPAC, arrives, forgotten, ids_of, shop, version  # noqa: F401
from tests.support.tiny import made_sentences
from tests.support.traces import traces_of
from tests.support.versions import assert_same_version


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model) -> ProjectFolder:
    """A project whose two versions were trained, with a logged answer and a quarantined row."""
    project = shop(tmp_path_factory.mktemp("trained") / "shop", tiny_model)
    broken = pd.DataFrame({"id": ["odd-1"], "text": ["x"], "label": ["fee"], "date": [None]})
    arrives(project, "one", pd.concat([made_sentences(["loan", "fee"], 60, seed=1), broken]))
    run_waiting(project)
    arrives(project, "two", made_sentences(["loan", "box"], 60, seed=2))
    run_waiting(project)
    asked = project.root / "asked.csv"
    made_sentences(["loan"], 3, seed=9, prefix="asked").to_csv(asked, index=False)
    predict_file(project.root, str(asked), None)
    asked.unlink()
    return project


def test_a_dry_run_counts_and_changes_nothing(trained) -> None:
    at = open_project(trained.root)
    before, row = at.stores.data.commit(), ids_of(at, "0002-two", "train")[0]
    done = CliRunner().invoke(cl, ["forget", "--where", f"id == '{row}'", "--dry-run", "-p", str(trained.root)])
    assert done.stdout.splitlines() == [
        "would remove 1 rows, 0 in quarantine, 0 logged answers",
        "  0002-two (train 1)",
    ]
    assert at.stores.data.current() == before and not (trained.work / "forgetting").exists()


def test_a_condition_that_names_no_row_is_bad_input(trained) -> None:
    with pytest.raises(InputError, match="no row of 'shop' matches"):
        forgotten(trained, ["nobody"])


def test_nothing_that_is_kept_names_a_row_that_was_forgotten_everywhere(trained) -> None:
    at = open_project(trained.root)
    rows = [at.stores.experiences.rows("0002-two", split).iloc[0] for split in ("train", "validation", "test")]
    ids, texts = [one["id"] for one in rows] + ["odd-1", "asked9-1"], [one["text"] for one in rows]
    kept = made_sentences(["loan"], 3, seed=9, prefix="asked")["text"][1]
    assert len(traces_of(trained.root, ids, texts)) > 5, "the search finds what is there"
    before = at.stores.data.current()

    done = forgotten(trained, ids, everywhere=True)
    assert done["removal"]["rows"] == {"0002-two": {"train": 1, "validation": 1, "test": 1}}
    assert (done["removal"]["quarantined"], done["removal"]["answers"]) == (1, 1)
    assert traces_of(trained.root, ids, [*texts, kept]) == []
    assert at.stores.data.current() != before and at.stores.data.is_clean()
    experience = at.stores.experiences.get("0002-two")
    assert (experience.forgotten, experience.total) == (3, 57) and at.stores.experiences.get(
        "0001-one"
    ).quarantined == {}
    (removal,) = read_removals(trained)
    assert len(removal.ids) == 5 and removal.total == 3 and "@" in removal.by
    assert "ids" not in done["removal"] and "salt" not in done["removal"]

    assert done["version"] == "3" and not done["exact"] and done["withdrawn"] == ["2"]
    with pytest.raises(
        InputError, match=r"version 2 of 'shop' cannot serve again: it contains rows .* there are: 1, 3"
    ):
        roll_back(trained.root, "2", why="")
    assert json.loads(CliRunner().invoke(cl, ["diff", "1", "2", "--json", "-p", str(trained.root)]).stdout)[
        "experiences"
    ]


def test_weights_that_were_trained_on_the_rows_are_trained_again_from_those_that_were_not(trained, tmp_path) -> None:
    settings, at = config.load(trained.config), open_project(trained.root)
    arrives(trained, "three", made_sentences(["loan", "fee"], 60, seed=3))
    (cycle,) = run_waiting(trained)
    assert cycle.decision.reasons[0] == "the champion has learned from rows that were since forgotten (0002-two)"
    assert cycle.training.experiences == ["0002-two", "0003-three"] and cycle.champion_after == "4"
    again = train(
        settings,
        champion=version(trained, "1"),
        new=["0002-two", "0003-three"],
        past=["0001-one"],
        rows_of=at.stores.experiences.rows_of,
        folder=tmp_path / "again",
    )
    assert_same_version(version(trained, "4"), Path(again.challenger))
    history = load_history(version(trained, "4"))
    assert (
        history.residual_experiences == []
        and history.parent == "1"
        and history.learnt == ["0001-one", "0002-two", "0003-three"]
    )


def _found(name: str):
    import importlib

    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError:
        place, _, kind = module.rpartition(".")
        return getattr(getattr(importlib.import_module(place), kind), attribute)
