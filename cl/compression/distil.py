"""Distillation: a smaller student learns to give its teacher's answers."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cl import plugins
from cl.compression.imitation import Imitation
from cl.compression.student import merge_to_float, new_student
from cl.compression.writing_student import TokenImitation, in_own_words, new_writing_student, same_tokens
from cl.config import Config
from cl.errors import InputError
from cl.models.inference import answer, score_rows
from cl.models.language_learner import LanguageLearner
from cl.models.learner import Learner
from cl.models.persistence import load_learner
from cl.models.weights import columns_to_learn, learnable
from cl.plugins import Capability
from cl.records import Form, Training
from cl.stores.data.experiences import RowsOf
from cl.stores.predictions.logged_values import from_log
from cl.tasks import Task
from cl.training.loop import Fit, run_update
from cl.training.pseudo_labels import completing
from cl.training.strategies import LearningMethod, State, Strategy, TrainingData, Update, load_states
from cl.training.train import save_version, training_seed, validation_rows

log = logging.getLogger(__name__)
LEARNABLE = frozenset({Capability.PROBABILITIES, Capability.WRITING})
"""What a student can learn of its teacher: probabilities of labels, or answers that it writes."""
TOLERANCE = 0.02
"""How far a teacher's score may be below that of the champion, or of the untrained student."""


def distil(
    config: Config, *, teacher: Path, learnt: list[str], rows_of: RowsOf, unlabelled: pd.DataFrame, folder: Path
) -> Training:
    """Build a student, train it on its teacher's answers, and save it with all state that further learning needs.

    Buffers are carried over; a strategy's state for individual weights is recomputed for the student or dropped. If the
    teacher's head is in closed form, the student gets a trained one; a closed-form strategy recomputes its statistics
    from the rows when it next learns.

    Args:
        config: how the student is built, on which rows it is trained and how long.
        teacher: folder of the version to learn from.
        learnt: ids of the experiences that the teacher has learned.
        rows_of: returns the rows of experiences (ids, split).
        unlabelled: logged requests with their ids; the teacher's answers become their labels.
        folder: where the student is saved; existing content is replaced.

    Raises:
        InputError: the task cannot be distilled, there are no rows, or the teacher is worse than the untrained student.
        ConfigError: the student cannot be built from this teacher.
        DivergedError: the loss was not finite.
    """
    seed = training_seed(config.seed, [*learnt, "student"])
    torch.manual_seed(seed)
    loaded, states = check_distillable(load_learner(teacher)), load_states(teacher)
    master = loaded if loaded.writes else merge_to_float(loaded)
    labelled = completing(teacher, solves_head=False)(learnable(rows_of(learnt, "train")))
    rows = teaching_rows(config, master, states, labelled, unlabelled, seed)
    validation = validation_rows(rows_of, learnt, seed)
    if isinstance(master, LanguageLearner):
        student: Learner = new_writing_student(config, master, teacher)
    else:
        student = new_student(master, config.distil.student, used=_used_tokens(master, rows), seed=seed)
    _check_worth(master, student, validation)
    rng = np.random.default_rng(seed)
    data = TrainingData(rows, past=lambda: rows.iloc[:0], rng=rng, validation=validation, known=len(student.labels))
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    student, fit = _train_student(config, student, master, data, checkpoint)
    save_version(student, _pass_on_states(config, states, student, data), folder)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return training_record(folder, "student", fit, len(rows))


def teaching_rows(
    config: Config,
    teacher: Learner,
    states: dict[str, State],
    labelled: pd.DataFrame,
    unlabelled: pd.DataFrame,
    seed: int,
) -> pd.DataFrame:
    """Return the student's training rows, each once: labelled, replayed, and requests with the teacher's answers.

    If it writes, all of them have its answers.

    Raises:
        InputError: there are no rows.
    """
    wanted, schema = config.distil.rows, teacher.task.schema
    columns, needed = schema.names, [*schema.input_names, schema.answer.name]
    parts = [labelled[columns_to_learn(labelled, columns)]] if "labelled" in wanted else []
    if "replayed" in wanted:
        buffers = [state.rows for state in states.values() if state.rows is not None]
        parts += [rows[columns_to_learn(rows, columns)] for rows in buffers if {"id", *needed} <= set(rows.columns)]
    if "unlabelled" in wanted and len(unlabelled):
        requests = from_log(unlabelled, schema)[["id", *schema.input_names]].reset_index(drop=True)
        answers = None if teacher.writes else answer(teacher, requests).values
        parts.append(requests.assign(**{schema.answer.name: answers}))
    rows = pd.concat(parts, ignore_index=True).drop_duplicates("id", ignore_index=True) if parts else labelled[:0]
    if rows.empty:
        raise InputError(f"distil.rows: there is no row of {', '.join(wanted)} to learn from; add another kind")
    if len(rows) > config.distil.max_rows:
        rows = rows.sample(config.distil.max_rows, random_state=seed % 2**31).reset_index(drop=True)
    return in_own_words(teacher, rows) if teacher.writes else rows


def check_distillable(teacher: Learner) -> Learner:
    """Return the teacher if its task can be distilled.

    Raises:
        InputError: the task cannot be distilled.
    """
    if not _can_teach(teacher.task):
        supported = [name for name in plugins.names("tasks") if _can_teach(plugins.build(Task, name))]
        raise InputError(
            f"task '{teacher.task.name}' cannot be distilled: it has neither probabilities over labels nor answers "
            f"that are written; tasks that can: {', '.join(supported)}"
        )
    return teacher


def _can_teach(task: Task) -> bool:
    return bool(LEARNABLE & task.provides) and not task.measures_texts


def _used_tokens(teacher: Learner, rows: pd.DataFrame) -> set[int]:
    return {id for row in teacher.encode(rows) for id in row.input_ids}


def _check_worth(teacher: Learner, student: Learner, validation: pd.DataFrame) -> None:
    """Check that the student can learn from its teacher.

    Raises:
        InputError: the untrained student is better by more than two points.
    """
    if validation.empty:
        return
    best, untrained = (score_rows(learner, validation)[0] for learner in (teacher, student))
    if best is not None and untrained is not None and untrained > best + TOLERANCE:
        raise InputError(
            f"the teacher is worse than its untrained student ({teacher.task.score_name} {best:.3f} and "
            f"{untrained:.3f} on validation rows): distil another version"
        )


def check_not_worse_than_champion(
    teacher: Path, champion: Path, *, learnt: list[str], rows_of: RowsOf, seed: int
) -> None:
    """Check that the champion is not better than the intended teacher.

    Raises:
        InputError: the champion's score is higher by more than two points on validation rows of the experiences that
            the teacher has learned.
    """
    rows = validation_rows(rows_of, learnt, seed)
    if rows.empty:
        return
    ours, theirs = (score_rows(load_learner(version), rows)[0] for version in (teacher, champion))
    if ours is not None and theirs is not None and theirs - ours > TOLERANCE:
        raise InputError(
            f"the teacher is worse than the champion ({ours:.3f} and {theirs:.3f} on validation rows): "
            "distil the champion instead"
        )


def _train_student(
    config: Config, student: Learner, teacher: Learner, data: TrainingData, checkpoint: Path
) -> tuple[Learner, Fit]:
    wanted = config.distil
    if student.writes:
        return _train_to_write(config, student, teacher, data, checkpoint)
    comparable = wanted.hidden > 0 and student.width == teacher.width
    imitation = Imitation(
        temperature=wanted.temperature,
        soft=wanted.soft,
        hidden=wanted.hidden,
        attention=wanted.attention,
        layers=student.depth if comparable else 0,
    )
    if wanted.hidden and not comparable:
        log.info(
            "hidden states are not compared: the student's width is %d, its teacher's %d", student.width, teacher.width
        )
    settings = config.training.model_copy(update={"epochs": wanted.epochs, "learning_rate": wanted.learning_rate})
    update = Update(State(), data, student, cache={"teacher": teacher})
    outcome = run_update(student, data, [(imitation, update)], settings, checkpoint=checkpoint)
    return outcome.learner, outcome.fit


def _train_to_write(
    config: Config, student: Learner, teacher: Learner, data: TrainingData, checkpoint: Path
) -> tuple[Learner, Fit]:
    wanted, strategies = config.distil, list[tuple[Strategy, Update]]()
    if wanted.soft and same_tokens(student, teacher):
        imitation = TokenImitation(temperature=wanted.temperature, soft=wanted.soft)
        strategies.append((imitation, Update(State(), data, student, cache={"teacher": teacher})))
    elif wanted.soft:
        log.info("the student has other tokens than its teacher: it learns answers, and no probabilities")
    settings = config.training.model_copy(update={"epochs": wanted.epochs, "learning_rate": wanted.learning_rate})
    outcome = run_update(student, data, strategies, settings, checkpoint=checkpoint)
    return outcome.learner, outcome.fit


def _pass_on_states(config: Config, states: dict[str, State], student: Learner, data: TrainingData) -> dict[str, State]:
    """Return the states of the teacher's strategies for the student: its rows, and what describes its own weights.

    A closed form's sums are over the teacher's features, so the next update computes them again over all rows.
    """
    specs = {spec if isinstance(spec, str) else str(spec["name"]): spec for spec in config.every_strategy}
    passed: dict[str, State] = {}
    for name, state in states.items():
        method = plugins.build(LearningMethod, specs.get(name, name))
        if isinstance(method, Strategy):
            own = method.end(Update(State(), data, student)) if method.describes_weights else replace(state, tensors={})
            passed[name] = own
    return passed


def training_record(folder: Path, form: Form, done: Fit, rows: int) -> Training:
    """Return the training record of a derived version in a folder."""
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
        validation_scores=done.validation_scores,
    )
