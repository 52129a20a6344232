"""What has arrived and waits: experiences that were not learned, files of the source, feedback."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from cl import plugins
from cl.config import Config
from cl.cycle.backlog import OPEN
from cl.ingestion.file_formats import format_of
from cl.ingestion.sources import Source
from cl.ingestion.sources.files import Files
from cl.ingestion.values import readable_path
from cl.records import Experience, LedgerEntry
from cl.records.history import History
from cl.serving.team.folder import TeamFolder
from cl.serving.team.records import Waiting, WaitingExperience
from cl.serving.team.texts import shorten
from cl.stores.data.experiences import Experiences
from cl.stores.data.fingerprints import hash_texts, is_known, read_known_ids
from cl.stores.ledger import state
from cl.stores.mlflow.finished_runs import FinishedRun
from cl.stores.predictions.feedback import Feedback
from cl.stores.project_folder import ProjectFolder

SHOWN = 8
"""Experiences and files that are named; of more, the number is given."""
MOST_FILES = 10_000
"""Entries of a source's folder that are looked at."""


def waiting_experiences(
    experiences: Sequence[Experience],
    runs: Sequence[FinishedRun],
    entries: Sequence[LedgerEntry],
    history: History | None,
) -> list[WaitingExperience]:
    """Return the experiences that no version has learned yet, oldest first.

    Args:
        experiences: all of the project.
        runs: of the finished cycles, oldest first; the last one of an experience counts.
        entries: the ledger's.
        history: of the champion; None: it is not on this machine, and what the next update learns is not known.
    """
    last, decided = {run.experience: run for run in runs}, state.decided_versions(entries)
    learned = set(history.learnt) if history else set()
    waiting = []
    for experience in experiences:
        run = last.get(experience.id)
        if run is None:
            kind = "new"
        elif run.verdict == "held":
            kind = "held"
        elif history and run.verdict in OPEN and experience.id not in learned and run.version not in decided - {None}:
            kind = "later"
        else:
            continue
        waiting.append(WaitingExperience(id=shorten(experience.id), rows=experience.total, state=kind))
    return waiting


def champion_history(project: ProjectFolder, version: str | None) -> History | None:
    """Return what the champion has learned, from this machine's copy of it; an empty history without a champion."""
    if version is None:
        return History()
    path = project.work / "versions" / version / "history.json"
    try:
        return History.model_validate_json(path.read_bytes()) if version.isdigit() else None
    except (OSError, ValueError):
        return None


def add_files(waiting: Waiting, folder: TeamFolder, project: ProjectFolder, config: Config) -> Waiting:
    """Return what waits, with the files of the source that are newer than what was ingested from them.

    A source outside the folder is not looked at, and no file is opened.
    """
    source = config.data.source
    if source is None:
        return waiting
    built = plugins.build(Source, source)
    if not isinstance(built, Files):
        return waiting.model_copy(update={"files_note": "the source is no folder of files; `cl run` reads it"})
    path = project.root / Path(built.path).expanduser()
    if not folder.holds(path):
        return waiting.model_copy(update={"files_note": "the source lies outside the team's folder; `cl run` reads it"})
    names = [_shown(file, project) for file in _new_files(path, built.only or "*", project)]
    return waiting.model_copy(update={"files": names[:SHOWN], "more_files": max(0, len(names) - SHOWN)})


def new_feedback(project: ProjectFolder) -> int:
    """Return how many answers got a label that no experience holds yet.

    Raises:
        StoreError: a file of the log is damaged.
    """
    ids = Feedback(project).last()["id"]
    return int((~is_known(hash_texts(ids), read_known_ids(project))).sum()) if len(ids) else 0


def _new_files(path: Path, only: str, project: ProjectFolder) -> list[Path]:
    """Return the files that no experience was made of, or that were changed since."""
    ingested: dict[str, datetime] = {}
    for experience in Experiences(project).all():
        ingested[experience.source] = experience.ingested_at
    files = [path] if path.is_file() else list(islice(sorted(path.glob(only)), MOST_FILES))
    return [file for file in files if _is_new(file, project, ingested)]


def _is_new(file: Path, project: ProjectFolder, ingested: dict[str, datetime]) -> bool:
    if file.name.startswith(".") or format_of(file) is None:
        return False
    try:
        stat = file.lstat()
    except OSError:
        return False
    origins = (_shown(file, project), _shown(file.parent, project))  # files of one batch are named by their folder
    read = max((ingested[origin] for origin in origins if origin in ingested), default=None)
    return read is None or datetime.fromtimestamp(stat.st_mtime, UTC) > read


def _shown(path: Path, project: ProjectFolder) -> str:
    return readable_path(path.relative_to(project.root) if path.is_relative_to(project.root) else path)
