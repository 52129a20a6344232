"""`cl report`: one HTML file about everything that happened."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from cl import plugins
from cl.commands.opening import Opened, opened
from cl.records import SPLITS
from cl.reports.html import write_report


def report_on(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a project and return its path."""
    at = opened(folder)
    at.stores.registry.initialise()
    return report(at, out)


def report(at: Opened, out: Path | None = None) -> Path:
    """Write the report of an opened project."""
    cycles = at.stores.registry.cycles()
    quarantined = {
        one.id: at.stores.experiences.quarantined(one.id) for one in at.stores.experiences.all() if one.quarantined
    }
    return write_report(
        cycles,
        at.stores.ledger.entries(at.config.name),
        out or at.project.reports / "index.html",
        name=at.config.name,
        quarantine=quarantined,
        texts=partial(_texts, at),
    )


def _texts(at: Opened, experience: str, ids: list[str]) -> dict[str, str]:
    """Return the texts of an experience's rows, where they are still there."""
    task = plugins.build("tasks", at.config.task)
    rows = pd.concat([at.stores.experiences.rows_of([experience], split) for split in SPLITS])
    wanted = rows[rows["id"].isin(ids)]
    return dict(zip(wanted["id"], task.texts(wanted), strict=True))
