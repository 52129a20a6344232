"""Learn an experience in closed form: adapt the encoder where that is asked for, then solve for the head."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from cl.config import TrainingSettings
from cl.errors import InputError
from cl.models.build import freeze_all_but_tuned
from cl.training.loop import NO_ROWS, Fit, UpdateOutcome, fit, judge
from cl.training.strategies import Update
from cl.training.strategies._closed_form import ClosedForm
from cl.training.strategies.joint import Joint


def solve_update(
    method: ClosedForm, update: Update, settings: TrainingSettings, *, checkpoint: Path | None = None
) -> UpdateOutcome:
    """Solve for a learner's head over all rows so far, after joint training of the encoder if the method adapts it.

    Args:
        method: the closed form.
        update: its state, the rows, and the learner, which has all labels of the rows already.
        settings: epochs, learning rates and precision of the encoder's training.
        checkpoint: folder for the state of that training; a run interrupted earlier resumes from it.

    Raises:
        InputError: there is neither a new row nor a past one.
        ConfigError: the equations have no solution.
        DivergedError: a loss or a weight was not finite.
    """
    learner, lesson = update.learner, update.lesson
    if lesson.rows.empty and not len(lesson.past()):
        raise InputError(NO_ROWS)
    freeze_all_but_tuned(learner)
    if method.adapts(update):
        # a head that is solved afterwards says nothing about this one's best epoch, and few rows would choose by chance
        unjudged = replace(lesson, validation=None)
        result = fit(learner, unjudged, [(Joint(), update)], settings, checkpoint=checkpoint)
    else:
        result = Fit(epochs=0, steps=0, rows_learnt=0, rows_recalled=0, seconds=0.0, validation_score=None, losses=[])
    ended = time.monotonic()
    solved = method.solve(update)
    result, logits = replace(result, rows_learnt=result.rows_learnt + solved.rows), None
    if method.learns_validation and lesson.validation is not None and len(lesson.validation):
        logits = method.left_out(solved.learner, solved.state)(lesson.validation)
    learner, result = judge(solved.learner, lesson, result, settings, since=ended, logits=logits)
    return UpdateOutcome(learner, result, {method.name: solved.state})
