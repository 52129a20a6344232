"""Distil: a smaller student learns what its teacher answers; or the teacher itself, written down to answer cheaper."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl import plugins
from cl.compression.imitation import Imitation
from cl.compression.student import new_student, to_float_full
from cl.config import Config
from cl.errors import InputError
from cl.models.inference import answer, score_rows
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.records import Form, Training
from cl.stores.data.experiences import RowsOf
from cl.training.loop import Fit, run_update
from cl.training.strategies import State, Strategy, TrainingData, Update, load_states
from cl.training.train import save_version, training_seed, validation_rows

log = logging.getLogger(__name__)
TOLERANCE = 0.02
"""How far a teacher may be behind the champion, or behind a student that has learnt nothing yet."""


def distil(
    config: Config, *, teacher: Path, learnt: list[str], rows_of: RowsOf, unlabelled: pd.DataFrame, folder: Path
) -> Training:
    """Make a student, have it learn from its teacher, and save it with what learning needs to go on.

    Buffers are carried over; what a strategy knows of single weights is computed anew for the student's, or left out. A
    teacher whose head was solved for has a student with a trained one; a closed form sums up the rows anew when it
    next learns.

    Args:
        config: what the student is made of, on what and how long it learns.
        teacher: folder of the version that it learns from.
        learnt: ids of the experiences that its teacher has learnt.
        rows_of: returns the rows of experiences (ids, split).
        unlabelled: logged questions, with their ids; they are learnt with the teacher's own answers.
        folder: where the student is saved; whatever lies there is replaced.

    Raises:
        InputError: the task cannot be distilled, there is no row, or the teacher is worse than the untrained student.
        ConfigError: the student cannot be made of this teacher.
        DivergedError: the loss was not finite.
    """
    seed = training_seed(config.seed, [*learnt, "student"])
    torch.manual_seed(seed)
    master, states = to_float_full(check_distillable(load_learner(teacher))), load_states(teacher)
    rows = teaching_rows(config, master, states, rows_of(learnt, "train"), unlabelled, seed)
    validation = validation_rows(rows_of, learnt, seed)
    student = new_student(master, config.distil.student, used=_tokens(master, rows), seed=seed)
    _check_worth(master, student, validation)
    rng = np.random.default_rng(seed)
    lesson = TrainingData(rows, past=lambda: rows.iloc[:0], rng=rng, validation=validation, known=len(student.labels))
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    student, done = _taught(config, student, master, lesson, checkpoint)
    save_version(student, _passed_on(config, states, student, lesson), folder)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return training_record(folder, "student", done, len(rows))


def teaching_rows(
    config: Config,
    teacher: Learner,
    states: dict[str, State],
    labelled: pd.DataFrame,
    unlabelled: pd.DataFrame,
    seed: int,
) -> pd.DataFrame:
    """Return what the student learns on, each row once: labelled, replayed, and questions with the teacher's answer.

    Raises:
        InputError: there is none.
    """
    wanted, columns = config.distil.rows, ["id", *teacher.task.columns]
    parts = [labelled[columns]] if "labelled" in wanted else []
    if "replayed" in wanted:
        buffers = [state.rows for state in states.values() if state.rows is not None]
        parts += [rows[columns] for rows in buffers if set(columns) <= set(rows.columns)]
    if "unlabelled" in wanted and len(unlabelled):
        asked = unlabelled[["id", teacher.task.columns[0]]].reset_index(drop=True)
        parts.append(asked.assign(**{teacher.task.columns[1]: answer(teacher, asked).values}))
    rows = pd.concat(parts, ignore_index=True).drop_duplicates("id", ignore_index=True) if parts else labelled[:0]
    if rows.empty:
        raise InputError(f"distil.rows: there is no row of {', '.join(wanted)} to learn from; add another kind")
    if len(rows) > config.distil.max_rows:
        rows = rows.sample(config.distil.max_rows, random_state=seed % 2**31).reset_index(drop=True)
    return rows


def check_distillable(teacher: Learner) -> Learner:
    """Return a teacher whose task can be distilled.

    Raises:
        InputError: it cannot.
    """
    if not teacher.task.distils:
        kinds = [name for name in plugins.names("tasks") if plugins.find("tasks", name).distils]
        raise InputError(
            f"task '{teacher.task.name}' cannot be distilled: it gives no probabilities over labels; there are: "
            f"{', '.join(kinds)}"
        )
    return teacher


def _tokens(teacher: Learner, rows: pd.DataFrame) -> set[int]:
    return {id for one in teacher.encode(rows) for id in one.input_ids}


def _check_worth(teacher: Learner, student: Learner, validation: pd.DataFrame) -> None:
    """Stop where there is nothing to be learnt from a teacher.

    Raises:
        InputError: the student is better by more than two points before it has learnt anything.
    """
    if validation.empty:
        return
    best, before = (score_rows(one, validation)[0] for one in (teacher, student))
    if before > best + TOLERANCE:
        raise InputError(
            f"the teacher is worse than its student before it has learnt anything ({teacher.task.metric} {best:.3f} "
            f"and {before:.3f} on validation rows): distil another version"
        )


def check_not_behind(teacher: Path, champion: Path, *, learnt: list[str], rows_of: RowsOf, seed: int) -> None:
    """Stop where the version that serves knows better than the one that is to be the teacher.

    Raises:
        InputError: the champion's score is higher by more than two points, on validation rows of what the teacher has
            learnt.
    """
    rows = validation_rows(rows_of, learnt, seed)
    if rows.empty:
        return
    ours, theirs = (score_rows(load_learner(one), rows)[0] for one in (teacher, champion))
    if theirs - ours > TOLERANCE:
        raise InputError(
            f"the teacher is worse than the champion ({ours:.3f} and {theirs:.3f} on validation rows): a student would "
            "learn its faults; distil the champion"
        )


def _taught(
    config: Config, student: Learner, teacher: Learner, lesson: TrainingData, checkpoint: Path
) -> tuple[Learner, Fit]:
    wanted = config.distil
    compared = wanted.hidden > 0 and student.width == teacher.width
    imitation = Imitation(
        temperature=wanted.temperature,
        soft=wanted.soft,
        hidden=wanted.hidden,
        attention=wanted.attention,
        layers=student.depth if compared else 0,
    )
    if wanted.hidden and not compared:
        log.info("states of the student are %d wide, its teacher's %d: not compared", student.width, teacher.width)
    settings = config.training.model_copy(update={"epochs": wanted.epochs, "learning_rate": wanted.learning_rate})
    update = Update(State(), lesson, student, cache={"teacher": teacher})
    student, done, _ = run_update(student, lesson, [(imitation, update)], settings, checkpoint=checkpoint)
    return student, done


def _passed_on(config: Config, states: dict[str, State], student: Learner, lesson: TrainingData) -> dict[str, State]:
    """Return what each of the teacher's strategies hands to the student."""
    specs = {one if isinstance(one, str) else str(one["name"]): one for one in config.every_strategy}
    passed: dict[str, State] = {}
    for name, state in states.items():
        strategy = plugins.build(Strategy, specs.get(name, name))
        own = strategy.pass_on(Update(state, lesson, student))
        passed |= {} if own is None else {name: own}
    return passed


def training_record(folder: Path, form: Form, done: Fit, rows: int) -> Training:
    """Return the record of a version that was derived and lies in a folder."""
    return Training(
        challenger=str(folder),
        form=form,
        experiences=[],
        epochs=done.epochs,
        steps=done.steps,
        rows_new=rows,
        rows_learnt=done.rows_learnt,
        rows_recalled=0,
        seconds=round(done.seconds, 2),
        validation_score=done.validation_score,
        losses=done.losses,
    )
