"""`cl report`: one HTML file about everything that happened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cl.commands._regressions import regressions, stored_rows
from cl.commands.ledger import verified
from cl.records import Breach, Cycle, Regression
from cl.reports.html import LATEST, write_report
from cl.stores.opened import Opened, opened


@dataclass(frozen=True)
class Reported:
    """Where a report lies, and the first entry of the ledger that cannot be trusted, which it names as well."""

    path: Path
    broken: Breach | None


def report_on(folder: Path, out: Path | None = None) -> Reported:
    """Write the report of a project; return where it lies, and whether its ledger can be trusted."""
    at = opened(folder)
    at.stores.registry.initialise()
    return report(at, out)


def report(at: Opened, out: Path | None = None) -> Reported:
    """Write the report of an opened project; return where it lies, and whether its ledger can be trusted."""
    cycles = at.stores.registry.cycles()
    quarantined = {
        one.id: at.stores.experiences.quarantined(one.id) for one in at.stores.experiences.all() if one.quarantined
    }
    ledger = verified(at)
    path = write_report(
        cycles,
        ledger.entries,
        out or at.project.reports / "index.html",
        name=at.config.name,
        broken=ledger.broken,
        quarantine=quarantined,
        texts=partial(at.stores.texts, at.config.task),
        lost=_lost(at, cycles),
    )
    return Reported(path, ledger.broken)


def _lost(at: Opened, cycles: list[Cycle]) -> dict[str, list[Regression]]:
    """Return the worst regressions of the cycles whose gates the report shows."""
    judged = [one for one in cycles if one.evaluation][-LATEST:]
    rows = {one.id: stored_rows(at, one.id) for one in judged}
    return {id: regressions(at, one) for id, one in rows.items() if one is not None}
