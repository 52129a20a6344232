"""An update of a backtest that climbs the ladder, judged by the configuration's gates on validation rows."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.cycle.cost import update_sizes
from cl.cycle.ladder import Climb, Climbed, climb_ladder
from cl.decision.starting_rung import starting_rung
from cl.errors import InputError
from cl.evaluation.best_so_far import best_rows, save_best
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.gating.gate import judge
from cl.records import Challenger, DriftType, Experience, LadderResult
from cl.records.history import History
from cl.stores.data.experiences import Experiences
from cl.stores.version_folder import load_history, save_history
from cl.training.train import train


@dataclass(frozen=True)
class RungLesson:
    """What is learnt now, what was learnt before, by which version, and what has drifted."""

    new: list[str]
    past: list[str]
    champion: Path | None
    types: Sequence[DriftType] = ()
    begin: str | None = None


def climb_stream(
    config: Config, lesson: RungLesson, *, past: Sequence[LadderResult], stream: Experiences, folder: Path
) -> LadderResult:
    """Climb until a challenger passes all gates, and leave it in a folder; where none does, the champion stays.

    Test rows are what the backtest itself is scored on: gates see validation rows in their place. Training has seen
    those as well, to choose its best epoch or ridge, so that they are a little kinder than test rows would be. A first
    model is kept whatever the gates say, for there is nothing else to score.

    Args:
        config: ladder, gates and ``climb``.
        lesson: what is learnt.
        past: the climbs before this one, oldest first.
        stream: the rows.
        folder: where the version goes.
    """
    shutil.rmtree(folder, ignore_errors=True)
    rungs = folder.with_name(f"{folder.name}-rungs")
    shutil.rmtree(rungs, ignore_errors=True)
    begin = lesson.begin or starting_rung(config, config.ladder[0].name, lesson.types, past).rung
    judging = _without_robustness(config)

    def attempt(rung: str | None, own: Config) -> Challenger:
        place = rungs / str(rung)
        training = train(
            own,
            champion=lesson.champion,
            new=lesson.new,
            past=lesson.past,
            rows_of=stream.rows_of,
            folder=place / "challenger",
        )
        started = time.monotonic()
        evaluation = evaluate(
            judging,
            Candidates(challenger=place / "challenger", champion=lesson.champion),
            HeldOut(
                [*lesson.past, *lesson.new],
                load_history(lesson.champion).matrix if lesson.champion else {},
                lambda ids, split: stream.rows_of(ids, "validation" if split == "test" else split),
            ),
            folder=place,
        )
        gates = judge(config, evaluation, pd.read_parquet(evaluation.predictions))
        seconds = round(time.monotonic() - started, 2)
        return Challenger(training=training, evaluation=evaluation, gates=gates, judged_seconds=seconds)

    sizes = update_sizes(stream, lesson.champion, new=lesson.new, past=lesson.past)
    climbed = climb_ladder(config, Climb(begin, lesson.types, sizes, past), attempt)
    assert climbed.result is not None
    _keep(climbed, lesson, folder)
    shutil.rmtree(rungs)
    return climbed.result


def check_validation(experiences: list[Experience]) -> None:
    """See that each experience has rows that gates can judge by.

    Raises:
        InputError: one has none.
    """
    lacking = [f"'{one.name}'" for one in experiences if not one.rows.get("validation")]
    if lacking:
        raise InputError(
            f"--strategy ladder: its gates judge by validation rows, and experience {', '.join(lacking)} has none; "
            "raise data.split.validation"
        )


def _keep(climbed: Climbed, lesson: RungLesson, folder: Path) -> None:
    """Make the challenger that passed the version, with what the next one is compared with."""
    if lesson.champion and not climbed.challenger.gates.passed:
        shutil.copytree(lesson.champion, folder)
        return
    evaluation = climbed.challenger.evaluation
    Path(climbed.challenger.training.challenger).rename(folder)
    save_best(best_rows(pd.read_parquet(evaluation.predictions)), folder)
    save_history(History(learnt=[*lesson.past, *lesson.new], matrix=evaluation.matrix), folder)


def _without_robustness(config: Config) -> Config:
    """Return the configuration without the dearest of measures, where no gate asks for it."""
    if "robustness" in json.dumps(config.gates):
        return config
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"robustness": []})})
