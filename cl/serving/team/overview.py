"""Read a project for the page: each part by itself, so that a damaged one leaves the others readable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cl import config as configuration
from cl.config import Config
from cl.errors import PerennialError
from cl.monitoring.notices import rows_to_label
from cl.monitoring.traffic import latest_traffic_checks
from cl.records import Cycle, Experience, LedgerEntry
from cl.serving.team.folder import ListedProject, TeamFolder
from cl.serving.team.records import Alarm, OpenApproval, ProjectOverview, Quarantined, Role, Timeline, Waiting
from cl.serving.team.texts import shorten
from cl.serving.team.timeline import (
    alarm_of,
    champion_score,
    describe_forgotten,
    gate_lines,
    read_timeline,
    score_of,
)
from cl.serving.team.waiting import SHOWN, add_files, champion_history, new_feedback, waiting_experiences
from cl.stores.data.experiences import Experiences
from cl.stores.error_messages import translate_disk_errors
from cl.stores.ledger import state
from cl.stores.mlflow.finished_runs import FinishedRun
from cl.stores.project_folder import ProjectFolder, check_path
from cl.stores.read_only import ReadOnlyStores

MOST_ALARMS = 6
MOST_REASONS = 60
"""Reasons for quarantine that are listed, the newest experiences first."""
TRAFFIC_CHECKS = 5
"""The newest drift checks of served traffic that are looked at."""
REPORT = "index.html"


@dataclass(frozen=True)
class OpenedProject:
    """A project that is only read."""

    folder: TeamFolder
    listed: ListedProject
    config: Config

    @property
    def project(self) -> ProjectFolder:
        """Its folder."""
        return ProjectFolder(self.listed.root)

    @property
    def stores(self) -> ReadOnlyStores:
        """Its ledger and its cycles."""
        return ReadOnlyStores(self.project, self.config)


@dataclass
class _Problems:
    """Collects what is wrong, one line for each part that could not be read; paths are relative to the project."""

    root: Path
    lines: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        try:
            with translate_disk_errors():
                yield
        except (PerennialError, ValueError, OSError) as error:
            line = shorten(str(error).replace(f"{self.root}/", ""))
            if line not in self.lines:
                self.lines.append(line)


def open_to_read(folder: TeamFolder, listed: ListedProject) -> OpenedProject:
    """Return a project of the folder, its configuration read.

    Raises:
        InputError: its configuration is damaged, or a link leads out of the folder.
    """
    folder.refuse_links_out(listed.root)
    check_path(listed.root)
    return OpenedProject(folder, listed, configuration.load(listed.root / "cl.yaml"))


def read_overview(folder: TeamFolder, listed: ListedProject) -> ProjectOverview:
    """Return what the page shows of a project; nothing is locked or written."""
    problems = _Problems(listed.root)
    opened = None
    with problems.caught():
        opened = open_to_read(folder, listed)
    if opened is None:
        return ProjectOverview(key=listed.key, path=listed.path, problems=problems.lines)
    return _read(opened, problems)


def _read(opened: OpenedProject, problems: _Problems) -> ProjectOverview:
    stores, project = opened.stores, opened.project
    entries: Sequence[LedgerEntry] = []
    experiences: Sequence[Experience] = []
    runs: Sequence[FinishedRun] = []
    timeline, cycles = Timeline(rows=[], total=0, older=None), list[Cycle]()
    with problems.caught():
        entries = stores.entries()
    with problems.caught():
        runs = stores.finished
        timeline, cycles = read_timeline(stores)
    with problems.caught():
        experiences = Experiences(project).all()
    holders = state.holders(entries)
    champion = holders["champion"].to_version if "champion" in holders else None
    approval = None
    with problems.caught():
        approval = _approval(stores, runs, state.pending_approval(entries))
    waiting = Waiting()
    if not problems.lines:  # without the ledger or the cycles, nobody knows what was learned
        listed = waiting_experiences(experiences, runs, entries, champion_history(project, champion))
        waiting = Waiting(experiences=listed[:SHOWN], more_experiences=max(0, len(listed) - SHOWN))
    with problems.caught():
        waiting = add_files(waiting, opened.folder, project, opened.config)
    with problems.caught():
        waiting = waiting.model_copy(update={"feedback": new_feedback(project)})
    alarms = list[Alarm]()
    with problems.caught():
        alarms = _alarms(project, cycles)
    return ProjectOverview(
        key=opened.listed.key,
        path=opened.listed.path,
        name=shorten(opened.config.name),
        problems=problems.lines,
        champion=_role(holders["champion"]) if "champion" in holders else None,
        trials=[_role(holders[alias]) for alias in state.TRIAL_ALIASES if alias in holders],
        approval=approval,
        waiting=waiting,
        timeline=timeline,
        alarms=alarms,
        quarantine=_quarantine(experiences),
        quarantined_rows=sum(experience.quarantined_rows for experience in experiences),
        report=_written_at(project),
    )


def _role(entry: LedgerEntry) -> Role:
    assert entry.to_version is not None
    return Role(
        alias=entry.alias,
        version=entry.to_version,
        since=entry.recorded_at,
        action=entry.action,
        why=shorten(entry.why),
        actor=shorten(entry.actor),
        share=entry.share,
    )


def _approval(stores: ReadOnlyStores, runs: Sequence[FinishedRun], pending: LedgerEntry | None) -> OpenApproval | None:
    """Return the version that waits for a person, with the scores and verdicts of the cycle that made it."""
    if pending is None or pending.to_version is None:
        return None
    made_by = next((run for run in reversed(runs) if run.version == pending.to_version), None)
    approval = OpenApproval(
        version=pending.to_version,
        alias=pending.alias,
        champion=pending.from_version,
        since=pending.recorded_at,
        why=shorten(pending.why),
    )
    if made_by is None:
        return approval
    try:
        cycle = stores.cycle(made_by)
    except PerennialError:  # the timeline says so
        return approval
    return approval.model_copy(
        update={
            "experience": shorten(cycle.experience.id),
            "score": score_of(cycle),
            "champion_score": champion_score(cycle),
            "forgotten": describe_forgotten(cycle),
            "gates": gate_lines(cycle, refused_only=False),
        }
    )


def _alarms(project: ProjectFolder, cycles: Sequence[Cycle]) -> list[Alarm]:
    """Return the newest alarms: on served traffic, then on experiences."""
    alarms = []
    for check in latest_traffic_checks(project, TRAFFIC_CHECKS):
        examples = rows_to_label(check.drift)
        alarm = alarm_of(check.drift, champion=check.champion, rows=check.rows, examples=examples)
        if alarm is not None:
            alarms.append(alarm.model_copy(update={"on_traffic": True, "until": shorten(check.until)}))
    for cycle in cycles:
        examples = rows_to_label(cycle.drift)
        alarm = alarm_of(cycle.drift, champion=cycle.champion_before, rows=cycle.experience.total, examples=examples)
        if alarm is not None:
            alarms.append(alarm)
    return alarms[:MOST_ALARMS]


def _quarantine(experiences: Sequence[Experience]) -> list[Quarantined]:
    """Return the reasons for quarantine of the newest experiences."""
    lines = [
        Quarantined(experience=experience.id, reason=reason, rows=rows)
        for experience in reversed(experiences)
        for reason, rows in experience.quarantined.items()
    ]
    return lines[:MOST_REASONS]


def _written_at(project: ProjectFolder) -> datetime | None:
    path = project.reports / REPORT
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.is_file() else None
    except OSError:
        return None
