"""`cl gc`: files of versions that nothing needs, and this machine's caches, free their space."""

from __future__ import annotations

from pathlib import Path

from cl.config import RegistrySettings
from cl.cycle.identity import unused_journals
from cl.forgetting import forget
from cl.promotion.repair import locked_and_repaired
from cl.registry.garbage import CollectedGarbage, collect_garbage
from cl.stores.opened import open_project


def free_space(folder: Path, *, keep_last: int | None, keep_days: float | None, dry_run: bool) -> CollectedGarbage:
    """Remove what the rules do not keep, and return what was removed, or with ``dry_run`` what would be.

    Raises:
        BusyError: a cycle is running.
        StoreError: a store is out of reach; the same command goes on.
    """
    at = open_project(folder)
    given = {"keep_last": keep_last, "keep_days": keep_days}
    rules = at.config.registry.model_copy(update={key: one for key, one in given.items() if one is not None})
    with locked_and_repaired(at.stores):
        if not dry_run:
            forget.finish_removal(at.config, at.stores)
        unused = unused_journals(at.config, at.stores)
        return collect_garbage(at.stores, RegistrySettings(**rules.model_dump()), unused=unused, dry_run=dry_run)
