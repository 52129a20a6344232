"""`cl report`: one HTML file about everything that happened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cl.commands._regressions import read_stored_rows, worst_regressions
from cl.commands.ledger import verify_ledger
from cl.records import Cycle, IntegrityViolation, Regression
from cl.reports.html import LATEST, ReportRows, write_report
from cl.stores.opened import OpenProject, open_project


@dataclass(frozen=True)
class WrittenReport:
    """Where a report lies, and the first entry of the ledger that cannot be trusted, which it names as well."""

    path: Path
    broken: IntegrityViolation | None


def report_on(folder: Path, out: Path | None = None) -> WrittenReport:
    """Write the report of a project; return where it lies, and whether its ledger can be trusted."""
    at = open_project(folder)
    at.stores.registry.initialise()
    return report(at, out)


def report(at: OpenProject, out: Path | None = None) -> WrittenReport:
    """Write the report of an opened project; return where it lies, and whether its ledger can be trusted."""
    cycles = at.stores.registry.cycles()
    quarantined = {
        one.id: at.stores.experiences.quarantined(one.id) for one in at.stores.experiences.all() if one.quarantined
    }
    ledger = verify_ledger(at)
    path = write_report(
        cycles,
        ledger.entries,
        out or at.project.reports / "index.html",
        name=at.config.name,
        rows=ReportRows(quarantined, partial(at.stores.texts, at.config.task), _lost(at, cycles)),
        broken=ledger.broken,
    )
    return WrittenReport(path, ledger.broken)


def _lost(at: OpenProject, cycles: list[Cycle]) -> dict[str, list[Regression]]:
    """Return the worst regressions of the cycles whose gates the report shows."""
    judged = [one for one in cycles if one.evaluation][-LATEST:]
    rows = {one.id: read_stored_rows(at, one.id) for one in judged}
    return {id: worst_regressions(at, one) for id, one in rows.items() if one is not None}
