"""`cl status` and `cl history`: the state of a project and its past cycles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.cycle.backlog import waiting_experiences
from cl.errors import InputError
from cl.promotion.outside import outside_changes, warn_of_changes
from cl.records import Cycle
from cl.records.history import History
from cl.registry.lineage import read_history
from cl.registry.tagger import TAGGER, resolve_tagger
from cl.stores.ledger import state
from cl.stores.opened import OpenProject, open_project
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import Stores
from cl.tasks import Schema


def read_cycles(folder: Path, *, last: int | None = None) -> tuple[list[Cycle], int]:
    """Return the finished cycles, oldest first: all, or the newest ones; and how many there are.

    Raises:
        LedgerRowError: a row of the ledger cannot be read, so that what became of a cycle is not certain.
    """
    project = open_project(folder, reading=True)
    project.stores.registry.initialise()
    entries = project.stores.ledger.unverified(project.config.name)  # first: without it, no cycle is shown for certain
    runs = project.stores.registry.runs
    cycles = runs.cycles(last=last)
    warn_of_changes(project.stores.registry, entries)
    return cycles, len(cycles) if last is None else sum(runs.past.counts().values())


def read_status(folder: Path) -> dict[str, Any]:
    """Return champion, versions, last cycle and waiting experiences as plain values."""
    project = open_project(folder, reading=True)
    project.stores.registry.initialise()
    runs = project.stores.registry.runs
    verdicts, last = runs.past.verdicts(), next(iter(runs.cycles(last=1)), None)
    entries = project.stores.ledger.entries(project.config.name)
    champion, experiences = state.champion(entries), project.stores.experiences
    ids = experiences.ids()
    waiting, later = [name for name in ids if name not in verdicts], _left_for_later(project.stores, champion)
    aliases, approval = state.holders(entries), state.pending_approval(entries)
    return {
        "model": project.config.name,
        "outside": outside_changes(project.stores.registry, entries),
        "champion": champion,
        **{
            alias: aliases[alias].model_dump(mode="json") if alias in aliases else None for alias in state.TRIAL_ALIASES
        },
        "approval": approval and approval.model_dump(mode="json"),
        "versions": [version.model_dump(mode="json") for version in project.stores.registry.versions()],
        "last_cycle": last and {"experience": last.experience.id, "verdict": last.verdict, "seconds": last.seconds},
        "held": [name for name, verdict in verdicts.items() if verdict == "held"],
        "waiting": waiting,
        "left_for_later": later,
        "tagger": _describe_tagger(project, champion),
        "waiting_rows": sum(experiences.get(name).rows["train"] for name in {*waiting, *later} & {*ids}),
        "data_version": project.stores.data.current(),
        "predictions": _count_predictions(project.project, project.schema),
    }


def _describe_tagger(project: OpenProject, champion: str | None) -> dict[str, str | None] | None:
    """Return the tagger that the configuration names, its version now, and the one that the champion was tried with.

    None: it names none. ``problem`` says why there is no version.
    """
    named, version, problem = project.config.pipeline.tagger, None, None
    if named is None:
        return None
    try:
        version = resolve_tagger(project.config, project.stores)
    except InputError as error:
        problem = str(error)
    info = project.stores.registry.find(champion) if champion else None
    return {
        "named": named,
        "version": version,
        "problem": problem,
        "evaluated_with": info.tags.get(TAGGER) if info else None,
    }


def _count_predictions(project: ProjectFolder, schema: Schema) -> dict[str, int]:
    if not (project.root / "predictions").is_dir():
        return {"answered": 0, "labelled": 0, "feedback": 0}
    from cl.stores.predictions.predictions import Predictions

    return Predictions(project).count() | {"feedback": count_new_feedback(project, schema)}


def count_new_feedback(project: ProjectFolder, schema: Schema) -> int:
    """Return how many labelled answers of the server the next `cl ingest --from-serving` would make rows of."""
    from cl.stores.predictions.feedback import Feedback

    if not Feedback(project).files():
        return 0
    from cl.ingestion.sources.serving import read_labelled_rows

    return len(read_labelled_rows(project, schema, corrections_taken=False).new)


def _left_for_later(stores: Stores, champion: str | None) -> list[str]:
    """Return the experiences that have had their cycle, and that the next update will learn."""
    infos = {info.version: info for info in stores.registry.versions()}
    history = read_history(stores.registry, infos[champion]) if champion in infos else None
    return waiting_experiences(stores, history or History())
