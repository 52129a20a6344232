"""`cl gc`: delete the files of versions that no rule keeps, and unused caches of this machine."""

from __future__ import annotations

from pathlib import Path

from cl.config import RegistrySettings
from cl.cycle.identity import unused_journals
from cl.promotion.repair import locked_and_repaired
from cl.registry.garbage import CollectedGarbage, collect_garbage
from cl.revision import forget
from cl.stores.opened import open_project


def free_space(folder: Path, *, keep_last: int | None, keep_days: float | None, dry_run: bool) -> CollectedGarbage:
    """Remove what no rule keeps, and return what was removed, or with ``dry_run`` what would be removed.

    Raises:
        BusyError: a cycle is running.
        StoreError: a store is unreachable; repeat the command to resume.
    """
    project = open_project(folder)
    given = {"keep_last": keep_last, "keep_days": keep_days}
    rules = project.config.registry.model_copy(update={key: value for key, value in given.items() if value is not None})
    with locked_and_repaired(project.stores):
        if not dry_run:
            forget.finish_removal(project.config, project.stores)
        unused = unused_journals(project.config, project.stores)
        return collect_garbage(project.stores, RegistrySettings(**rules.model_dump()), unused=unused, dry_run=dry_run)
