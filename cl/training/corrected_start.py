"""The start of an update after rows were corrected: the champion without the rows that were replaced."""

from __future__ import annotations

from pathlib import Path

from cl.config import Config
from cl.records import Record
from cl.stores.data.correction_records import corrected_since
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import hash_texts
from cl.stores.project_folder import ProjectFolder
from cl.training.strategies import load_states
from cl.training.train import save_version, training_seed, validation_rows
from cl.training.unlearn_learner import unlearn_learner


class CorrectedStart(Record):
    """The folder to train from."""

    folder: str


def corrected_start(
    config: Config, base: Path, *, learnt: list[str], since: int, project: ProjectFolder, folder: Path
) -> CorrectedStart:
    """Return where to start an update from: the version itself, or a copy without the rows that were replaced.

    Buffers lose the rows, and a closed form is solved without them. Trained weights keep what they have learned from
    them until the update teaches them the corrected rows.

    Args:
        config: the configuration of the update.
        base: folder of the version to start from.
        learnt: the experiences that it has learned.
        since: the number of corrections that it was trained after.
        project: where the experiences are.
        folder: where the copy is written, if one is needed.
    """
    replaced = corrected_since(project, since)
    if not replaced:
        return CorrectedStart(folder=str(base))
    stored = [state.rows["id"] for state in load_states(base).values() if state.rows is not None]
    ids = {id for rows in stored for id, value in zip(rows, hash_texts(rows), strict=True) if int(value) in replaced}
    rows_of = Experiences(project).rows_of
    made = unlearn_learner(
        config,
        base,
        ids,
        past=lambda split: rows_of(learnt, split),
        validation=validation_rows(rows_of, learnt, training_seed(config.seed, learnt)),
    )
    save_version(made.learner, made.states, folder)
    return CorrectedStart(folder=str(folder))
