from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cl.cli.main import cl
from cl.config import Config, parse
from cl.errors import InputError, PerennialError
from cl.records import Trial
from cl.search.tune import tune
from cl.stores.data.experiences import Experiences
from cl.stores.project_folder import ProjectFolder
from tests.support.searched import searched_project


@pytest.fixture
def searched(tmp_path: Path, tiny_model: Path) -> ProjectFolder:
    return searched_project(tmp_path, tiny_model, epochs=8, trials=4)


def parts(project: ProjectFolder, **budget: float) -> tuple[Config, Experiences]:
    raw = yaml.safe_load(project.config.read_text())
    raw["tune"] |= budget
    return parse(raw, where="test"), Experiences(project)


def test_a_search_that_was_killed_tries_the_same_again_and_then_the_rest(searched) -> None:
    config, experiences = parts(searched, trials=3)
    folder, told = searched.work / "tune", list[Trial]()

    class KilledError(BaseException):
        pass

    def killing(ids: list[str], split: str):
        if len(told) == 1 and len(ids) == 2:
            raise KilledError
        return Experiences(searched).rows_of(ids, split)

    broken = Experiences(searched)
    object.__setattr__(broken, "rows_of", killing)
    with pytest.raises(KilledError):
        tune(config, broken, rung="weak", folder=folder, on_trial=told.append)
    found = tune(config, experiences, rung="weak", folder=folder)
    assert len(found.trials) == 3 and found.trials[0] == told[0]
    assert {one.number for one in found.trials} == {1, 3, 4}, "the second was killed; the third is the same again"


def test_no_trial_reads_a_test_row_and_none_begins_beyond_the_budget(searched) -> None:
    config, experiences = parts(searched, trials=9, max_seconds=1e-6, experiences=1)
    asked: list[str] = []
    rows_of = experiences.rows_of
    noted = Experiences(searched)
    object.__setattr__(noted, "rows_of", lambda ids, split: (asked.append(split), rows_of(ids, split))[1])
    found = tune(config, noted, rung="full", folder=searched.work / "tune")
    assert len(found.trials) == 1 and found.trials[0].experiences == 1
    assert set(asked) == {"train", "validation"}


def test_what_a_search_cannot_do_is_told(searched, tmp_path) -> None:
    config, experiences = parts(searched)
    with pytest.raises(InputError, match="there is no experience to learn"):
        tune(config, Experiences(ProjectFolder(tmp_path / "empty")), rung="full", folder=tmp_path)
    diverging = parse(
        {
            **config.model_dump(mode="json", by_alias=True),
            "tune": {"space": {"training.learning_rate": [1e30]}, "trials": 2},
        },
        where="test",
    )
    with pytest.raises(PerennialError, match=r"none of 2 trials completed within tune\.trials: 2"):
        tune(diverging, experiences, rung="full", folder=tmp_path / "diverged")
    for more, message in (
        (["--rung", "top"], "--rung top: no such rung; there are: weak, full"),
        ([], "--rung is missing: the configuration has a ladder; its rungs are weak, full"),
        (["--rung", "full", "--data", "/nowhere"], "--data /nowhere: no such file or folder"),
    ):
        done = CliRunner().invoke(cl, ["tune", str(searched.config), *more])
        assert isinstance(done.exception, InputError) and message in str(done.exception)
