"""Cheaper versions in a backtest: every so many updates a student serves; it, or its teacher, learns what is next."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd

from cl.config import Config
from cl.records import REWRITTEN
from cl.stores.data.experiences import RowsOf

LEARNS = "learns"
"""Beside a version that serves and does not learn: the folder of the one that does."""


def learner_of(version: Path) -> Path:
    """Return the folder of what learns the next experience: the version itself, or what it keeps beside it."""
    beside = version / LEARNS
    return beside if beside.exists() else version


def compress(config: Config, version: Path, *, updates: int, learnt: list[str], rows_of: RowsOf) -> int:
    """Put a cheaper version in the place of one that has just learnt, if it is due; return the rows that it learnt.

    Due is every ``distil.when.updates``-th update; from the first on every one, where the teacher goes on learning.
    There are no logged questions in a backtest, and no gates: the last of ``distil.forms`` serves.

    Args:
        config: under ``distil``, when and how.
        version: its folder.
        updates: how many there have been, this one too.
        learnt: ids of the experiences that it has learnt.
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
    _serve(served, version, learns=version if wanted.then == "teacher" else floats)
    return rows


def _serve(served: Path, version: Path, *, learns: Path) -> None:
    """Move what serves to the version's place, with what learns beside it where that is another one."""
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
