"""Publish corrected rows in place of the earlier ones, each in the split of the row that it replaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np

from cl.stores.actor import current_actor
from cl.stores.data.correction_records import Correction, read_corrections
from cl.stores.data.corrections import (
    CorrectionPlan,
    begin_correction,
    find_replaced,
    finish_correction,
)
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import KnownRows, remember_fingerprints
from cl.stores.data.staging import Staged
from cl.stores.project_folder import ProjectFolder


@contextmanager
def replacing_earlier(
    project: ProjectFolder, staged: Staged, corrections: np.ndarray, known: KnownRows
) -> Iterator[None]:
    """Replace the earlier rows by those that this block publishes; if it fails, nothing has changed.

    Args:
        project: the project.
        staged: the rows to publish; corrected ones move to the split of the row that they replace.
        corrections: which of them are corrections.
        known: the rows of all earlier experiences; afterwards, without the replaced ones.
    """
    if not corrections.any():
        yield
        return
    replaced, splits = find_replaced(project, staged.fingerprints(), known, corrections, staged.schema)
    staged.move_to_splits(splits)
    correction = Correction(
        number=len(read_corrections(project)) + 1,
        corrected_at=datetime.now(UTC),
        by=current_actor(),
        experience=Experiences(project).next_id(staged.name),
        rows=replaced.count(),
        ids=sorted(replaced.contents),
        contents=[replaced.contents[id] for id in sorted(replaced.contents)],
    )
    begin_correction(project, CorrectionPlan(correction=correction, replaced=replaced))
    yield
    finish_correction(project, staged.schema)
    for id in correction.rows:
        known.drop(id)
        remember_fingerprints(project, Experiences(project).get(id), known, staged.schema)
