"""Two versions of every task, the second made from the first, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import pytest

from cl.config import Config
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.records import Evaluation
from cl.records.past_scores import PastScores
from cl.tasks import Task
from cl.training.baseline_rows import LearnedExperiences
from cl.training.baselines import score_baselines
from cl.training.train import train
from tests.support.task_rows import STREAM, config_of, rows_of, task_of

QUICK = {"latency_calls": 1, "throughput_rows": 2, "robustness": []}


@dataclass(frozen=True)
class Versions:
    """A task's two versions, and its rows."""

    config: Config
    folder: Path

    @property
    def task(self) -> Task:
        """The task."""
        return task_of(self.config.task if isinstance(self.config.task, str) else self.config.task["name"])

    @cached_property
    def learners(self) -> tuple[Learner, Learner]:
        """The champion, which knows the first experience, and the challenger, which knows both."""
        first, second = (load_learner(self.folder / id) for id in STREAM)
        return first, second

    def rows(self, id: str, split: str) -> pd.DataFrame:
        """Rows of an experience."""
        return rows_of(self.task)([id], split)

    @cached_property
    def evaluated(self) -> tuple[Evaluation, pd.DataFrame]:
        """The evaluation of the challenger next to the champion, and what it stored of each row."""
        first, second = STREAM
        read, known = rows_of(self.task), PastScores().after(first, {first: 0.5})
        held_out = HeldOut([first, second], known, read)
        tests, folder = held_out.tests(self.config).rows, self.folder / "evaluated"
        baselines = score_baselines(
            self.config, LearnedExperiences([first, second], {first: "1", second: "2"}), read, tests, folder
        )
        held_out = HeldOut([first, second], known, read, baselines=baselines)
        folder.mkdir(exist_ok=True)
        candidates = Candidates(self.folder / second, self.folder / first)
        evaluation = evaluate(self.config, candidates, held_out, folder=folder)
        return evaluation, pd.read_parquet(evaluation.predictions)


@pytest.fixture(scope="session")
def versions(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Versions]:
    """Return a task's versions, which are trained when a test first asks for them."""
    made: dict[str, Versions] = {}

    def of(task: str) -> Versions:
        if task not in made:
            config, folder = config_of(tiny_model, task, evaluation=QUICK), tmp_path_factory.mktemp(task)
            champion, past = None, list[str]()
            for id in STREAM:
                train(
                    config, champion=champion, new=[id], past=past, rows_of=rows_of(task_of(task)), folder=folder / id
                )
                champion, past = folder / id, [*past, id]
            made[task] = Versions(config, folder)
        return made[task]

    return of
