"""Judge a version by rows that it has learned: answer each as if it had not been learned."""

from __future__ import annotations

from pathlib import Path

from cl import plugins
from cl.models.inference import Answering
from cl.models.learner import Learner
from cl.training.strategies import LearningMethod, load_states
from cl.training.strategies._closed_form import ClosedForm


def left_out_answers(folder: Path, learner: Learner) -> Answering:
    """Return the function by which a version answers validation rows, whether it has learned them or not.

    Args:
        folder: of the version.
        learner: loaded from there.
    """
    if not learner.is_closed:
        return lambda experience, rows: None
    for name, state in load_states(folder).items():
        kind = plugins.find(LearningMethod, name)
        if issubclass(kind, ClosedForm) and kind.learns_validation:
            left_out, learned = plugins.build(ClosedForm, name).left_out(learner, state), state.experiences
            return lambda experience, rows: left_out(rows) if learned is None or experience in learned else None
    return lambda experience, rows: None
