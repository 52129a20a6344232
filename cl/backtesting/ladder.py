"""An update of a backtest that climbs the ladder, with the configured gates applied to validation rows."""

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
from cl.cycle.ladder import Attempt, Climb, Climbed, climb_ladder
from cl.decision.starting_rung import starting_rung
from cl.errors import InputError
from cl.evaluation.best_so_far import best_rows, save_best
from cl.evaluation.evaluate import Candidates, HeldOut, evaluate
from cl.gating.gate import judge
from cl.records import Challenger, DriftType, Experience, LadderResult, Training
from cl.records.history import History
from cl.records.past_scores import PastScores
from cl.stores.data.experiences import Experiences
from cl.stores.version_folder import load_history, save_history
from cl.training.left_out import left_out_answers
from cl.training.train import train


@dataclass(frozen=True)
class RungLesson:
    """New and past experiences, the champion, the types of drift, and the rung to begin with."""

    new: list[str]
    past: list[str]
    champion: Path | None
    types: Sequence[DriftType] = ()
    begin: str | None = None


def climb_stream(
    config: Config, lesson: RungLesson, *, past: Sequence[LadderResult], stream: Experiences, folder: Path
) -> LadderResult:
    """Climb until a challenger passes all gates, and save it in a folder; if none does, keep the champion.

    The backtest scores test rows, so the gates use validation rows instead: a strategy that learns these answers each
    as if it had not. Training chooses its best epoch by them, so the gates are slightly more lenient than with test
    rows. A first model is kept whatever the gates say, because there is nothing else to score.

    Args:
        config: ladder, gates and ``climb``.
        lesson: what to learn.
        past: earlier climbs, oldest first.
        stream: the rows.
        folder: where to save the version.
    """
    shutil.rmtree(folder, ignore_errors=True)
    rungs = folder.with_name(f"{folder.name}-rungs")
    shutil.rmtree(rungs, ignore_errors=True)
    begin = lesson.begin or starting_rung(config, config.ladder[0].name, lesson.types, past).rung
    judging = _measure_scores_only(config)

    def train_at(rung: str | None, own: Config) -> Training:
        training = train(
            own,
            champion=lesson.champion,
            new=lesson.new,
            past=lesson.past,
            rows_of=stream.rows_of,
            folder=rungs / str(rung) / "challenger",
        )
        return training.model_copy(update={"rung": rung})

    def judge_at(rung: str | None, training: Training) -> Challenger:
        started = time.monotonic()
        evaluation = evaluate(
            judging,
            Candidates(challenger=Path(training.challenger), champion=lesson.champion),
            HeldOut(
                [*lesson.past, *lesson.new],
                load_history(lesson.champion).scores if lesson.champion else PastScores(),
                lambda ids, split: stream.rows_of(ids, "validation" if split == "test" else split),
                answering=left_out_answers,
            ),
            folder=rungs / str(rung),
        )
        gates = judge(config, evaluation, pd.read_parquet(evaluation.predictions))
        seconds = round(time.monotonic() - started, 2)
        return Challenger(training=training, evaluation=evaluation, gates=gates, judged_seconds=seconds)

    sizes = update_sizes(stream, lesson.champion, new=lesson.new, past=lesson.past)
    climbed = climb_ladder(config, Climb(begin, lesson.types, sizes, past), Attempt(train_at, judge_at))
    assert climbed.result is not None
    _save_version(climbed, lesson, folder)
    shutil.rmtree(rungs)
    return climbed.result


def check_validation(experiences: list[Experience]) -> None:
    """Check that each experience has validation rows for the gates.

    Raises:
        InputError: an experience has none.
    """
    lacking = [f"'{experience.name}'" for experience in experiences if not experience.rows.get("validation")]
    if lacking:
        raise InputError(
            f"--strategy ladder: the gates need validation rows, but experience {', '.join(lacking)} has none; raise "
            "data.split.validation"
        )


def _save_version(climbed: Climbed, lesson: RungLesson, folder: Path) -> None:
    """Save the challenger that passed as the version, with its best scores and history; else the champion."""
    if lesson.champion and not climbed.challenger.gates.passed:
        shutil.copytree(lesson.champion, folder)
        return
    evaluation = climbed.challenger.evaluation
    Path(climbed.challenger.training.challenger).rename(folder)
    save_best(best_rows(pd.read_parquet(evaluation.predictions)), folder)
    before = load_history(lesson.champion).scores if lesson.champion else PastScores()
    scores = before.after(evaluation.newest, evaluation.row)
    save_history(History(learnt=[*lesson.past, *lesson.new], scores=scores), folder)


def _measure_scores_only(config: Config) -> Config:
    """Return the configuration without robustness, latency and memory as far as no gate asks for them."""
    asked, spared = json.dumps(config.gates), dict[str, object]()
    if "robustness" not in asked:
        spared["robustness"] = []
    if not any(name in asked for name in ("latency", "rows_per_second", "memory")):
        spared |= {"latency_calls": 0, "throughput_rows": 0}
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=spared)})
