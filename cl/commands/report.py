"""`cl report`: write the HTML report of a project."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from cl.commands._regressions import read_stored_rows, worst_regressions
from cl.commands._side_by_side import side_by_side
from cl.commands.ledger import verify_ledger
from cl.promotion.outside import warn_of_changes
from cl.records import Cycle, IntegrityViolation, Regression
from cl.records.answers import SideBySide
from cl.records.experience import unbacked_classes
from cl.registry.accuracy_matrix import accuracy_matrix
from cl.reports.html import LATEST_CYCLES, LATEST_EXPERIENCES, SHOWN_CYCLES, ReportRows, write_report
from cl.stores.opened import OpenProject, open_project


@dataclass(frozen=True)
class WrittenReport:
    """The path of a report, and the ledger's first integrity violation, which the report shows too."""

    path: Path
    broken: IntegrityViolation | None


def report_on(folder: Path, out: Path | None = None) -> WrittenReport:
    """Write the report of a project; return its path and the ledger's first integrity violation."""
    project = open_project(folder, reading=True)
    project.stores.registry.initialise()
    return report(project, out)


def report(project: OpenProject, out: Path | None = None) -> WrittenReport:
    """Write the report of an opened project; return its path and the ledger's first integrity violation."""
    registry = project.stores.registry
    past, cycles = registry.runs.past, registry.runs.cycles(last=SHOWN_CYCLES)
    judged = [cycle for cycle in cycles if cycle.evaluation]
    experiences = project.stores.experiences
    quarantined = {
        cycle.experience.id: experiences.quarantined(cycle.experience.id)
        for cycle in cycles
        if cycle.experience.quarantined
    }
    ledger = verify_ledger(project)
    if ledger.broken is None:
        warn_of_changes(project.stores.registry, ledger.entries)
    lost, answers = _stored_rows_by_cycle(project, judged)
    path = write_report(
        cycles,
        ledger.entries,
        out or project.project.reports / "index.html",
        name=project.config.name,
        rows=ReportRows(
            quarantined,
            partial(project.stores.texts, project.config.task),
            lost,
            accuracy_matrix(judged[-1], past, registry.versions(), most=LATEST_EXPERIENCES) if judged else {},
            past.counts(),
            _unbacked(project, cycles),
            answers,
        ),
        broken=ledger.broken,
    )
    return WrittenReport(path, ledger.broken)


def _unbacked(project: OpenProject, cycles: list[Cycle]) -> dict[str, list[str]]:
    """Return the classes of the shown experiences that no training row of any experience has."""
    return unbacked_classes(project.stores.experiences.all()) if any(map(_lacks_rows, cycles)) else {}


def _lacks_rows(cycle: Cycle) -> bool:
    return bool(cycle.experience.untrained)


def _stored_rows_by_cycle(
    project: OpenProject, judged: list[Cycle]
) -> tuple[dict[str, list[Regression]], dict[str, SideBySide]]:
    """Return the worst regressions of the cycles whose verdicts the report shows, or, if written, their answers."""
    lost, answers = dict[str, list[Regression]](), dict[str, SideBySide]()
    for cycle in judged[-LATEST_CYCLES:]:
        stored = read_stored_rows(project, cycle.id)
        if stored is None:
            continue
        written = side_by_side(project, stored)
        if written is None:
            lost[cycle.id] = worst_regressions(project, stored)
        else:
            answers[cycle.id] = written
    return lost, answers
