"""`cl report`: one HTML file about everything that happened."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cl.commands.audit import verified
from cl.commands.opening import Opened, opened
from cl.commands.regressions import regressions, stored_rows
from cl.records import Cycle, Regression
from cl.reports.html import LATEST, write_report


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
    ledger = verified(at)
    return write_report(
        cycles,
        ledger.entries,
        out or at.project.reports / "index.html",
        name=at.config.name,
        broken=ledger.broken,
        quarantine=quarantined,
        texts=partial(at.stores.texts, at.config.task),
        lost=_lost(at, cycles),
    )


def _lost(at: Opened, cycles: list[Cycle]) -> dict[str, list[Regression]]:
    """Return the worst regressions of the cycles whose gates the report shows."""
    judged = [one for one in cycles if one.evaluation][-LATEST:]
    rows = {one.id: stored_rows(at, one.id) for one in judged}
    return {id: regressions(at, one) for id, one in rows.items() if one is not None}
