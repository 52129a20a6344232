"""Compression in a backtest: every few updates a student takes over; it or its teacher learns the next experience."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.records import REWRITTEN
from cl.stores.data.experiences import RowsOf

LEARNS = "learns"
"""Folder, within a version that only serves, of the version that learns on."""


def learner_of(version: Path) -> Path:
    """Return the folder of the version that learns the next experience: the version itself, or the one within it."""
    learner = version / LEARNS
    return learner if learner.exists() else version


def compress(config: Config, version: Path, *, updates: int, learnt: list[str], rows_of: RowsOf) -> int:
    """Replace a version that has just been trained by a compressed one, if due; return the rows trained on.

    It is due at every ``distil.when.updates``-th update; if the teacher learns on, at every update from that one on. A
    backtest has no logged requests and no gates: the last of ``distil.forms`` serves.

    Args:
        config: with ``distil``, when and how to compress.
        version: its folder.
        updates: number of updates so far, including this one.
        learnt: ids of the experiences that it has learned.
        rows_of: returns the rows of experiences (ids, split).
    """
    from cl.compression.distil import distil
    from cl.compression.rewrite import quantise, to_onnx
    from cl.compression.student import is_smaller

    wanted, every = config.distil, config.distil.when.updates
    if every is None or (updates < every if wanted.then == "teacher" else updates % every):
        return 0
    rows, served, floats, nothing = 0, version, version, pd.DataFrame({"id": [], "text": []})
    for form in wanted.forms:
        folder = version.with_name(f"{version.name}-{form}")
        if form == "int8":
            served = Path(quantise(teacher=floats, folder=folder).challenger)
        elif form in REWRITTEN:
            done = to_onnx(form, teacher=floats, learnt=learnt, rows_of=rows_of, folder=folder, seed=config.seed)
            served = Path(done.challenger)
        elif is_smaller(wanted.student, version):
            done = distil(config, teacher=version, learnt=learnt, rows_of=rows_of, unlabelled=nothing, folder=folder)
            rows += done.rows_learnt
            served = floats = folder
    _put_in_place(served, version, learns=version if wanted.then == "teacher" else floats)
    return rows


def _put_in_place(served: Path, version: Path, *, learns: Path) -> None:
    """Move the serving version to the version's folder; if another one learns on, copy that into it."""
    if served == version:
        return
    if learns != served:
        shutil.copytree(learns, served / LEARNS)
    aside = version.with_name(f"{version.name}-teacher")
    shutil.rmtree(aside, ignore_errors=True)
    version.rename(aside)
    served.rename(version)
    for left in version.parent.glob(f"{version.name}-*"):
        shutil.rmtree(left)
