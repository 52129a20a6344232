"""Save the teacher itself in a cheaper form: in int8, or with an ONNX graph."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

from cl.compression.distil import check_distillable, training_record
from cl.compression.onnx_check import check_graph_matches
from cl.compression.student import merge_to_float
from cl.errors import InputError
from cl.extras import require
from cl.models.learner import Learner
from cl.models.onnx.export import write_graph
from cl.models.onnx.graph import IN_ONNX, PACKAGES
from cl.models.persistence import load_learner
from cl.models.rewrites import quantise_learner
from cl.records import Form, Training
from cl.stores.data.experiences import RowsOf
from cl.training.loop import Fit
from cl.training.strategies import load_states
from cl.training.train import save_version

CHECKED_ROWS = 256
"""The most rows on which a graph is compared with torch."""


def quantise(*, teacher: Path, folder: Path) -> Training:
    """Save a copy of a version with its encoder's matrices in int8; strategy states are unchanged.

    Raises:
        InputError: the version is in int8 or ONNX already.
    """
    started = time.monotonic()
    master = check_distillable(load_learner(teacher))
    _check_floats(master)
    save_version(quantise_learner(merge_to_float(master)), load_states(teacher), folder)
    return training_record(folder, "int8", replace(NO_TRAINING, seconds=time.monotonic() - started), 0)


def to_onnx(form: Form, *, teacher: Path, learnt: list[str], rows_of: RowsOf, folder: Path, seed: int) -> Training:
    """Save a copy of a version with a graph of its encoder for ONNX Runtime.

    On validation rows of all learned experiences, or on training rows if there are none, the graph must answer as torch
    does with the same weights.

    Args:
        form: ``onnx``, or ``onnx-int8``, which also stores the encoder's matrices in int8.
        teacher: folder of the version.
        learnt: ids of the experiences that the version has learned.
        rows_of: returns the rows of experiences (ids, split).
        folder: where the copy is saved; existing content is replaced.
        seed: of the sample of rows.

    Raises:
        InputError: the version is in ONNX or int8 already, its encoder cannot be exported, packages are missing, there
            are no rows, or the graph answers differently.
    """
    require(IN_ONNX, *PACKAGES)
    started = time.monotonic()
    master = check_distillable(load_learner(teacher))
    _check_floats(master)
    splits = (rows_of(learnt, split) for split in ("validation", "train"))
    rows = next((candidates for candidates in splits if len(candidates)), None)
    if rows is None:
        raise InputError("no validation or training rows to compare the ONNX graph on: ONNX needs at least one")
    written = quantise_learner(merge_to_float(master)) if form == "onnx-int8" else merge_to_float(master)
    save_version(written, load_states(teacher), folder)
    try:
        write_graph(written.encoder, written.head.layers, folder / "encoder")
        check_graph_matches(
            written, load_learner(folder), rows.sample(min(len(rows), CHECKED_ROWS), random_state=seed % 2**31)
        )
    except InputError:
        shutil.rmtree(folder)
        raise
    return training_record(folder, form, replace(NO_TRAINING, seconds=time.monotonic() - started), 0)


NO_TRAINING = Fit(epochs=0, steps=0, rows_learnt=0, rows_recalled=0, seconds=0.0, validation_score=None, losses=[])


def _check_floats(teacher: Learner) -> None:
    if teacher.by_reference:
        raise InputError(
            "a version of a language model refers to its base and has no weights to rewrite: derive a student instead"
        )
    if teacher.is_int8 or teacher.graph is not None:
        kind = "int8" if teacher.graph is None else "ONNX"
        raise InputError(f"the version is in {kind} already: derive from its teacher instead")
