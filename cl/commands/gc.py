"""`cl gc`: files of versions that nothing needs, and this machine's caches, free their space."""

from __future__ import annotations

from pathlib import Path

from cl import forget
from cl.collect import Collected, collect
from cl.commands.opening import opened
from cl.repair import held
from cl.settings import RegistrySettings


def collect_garbage(folder: Path, *, keep_last: int | None, keep_days: float | None, dry_run: bool) -> Collected:
    """Remove what the rules do not keep, and return what was removed, or with ``dry_run`` what would be.

    Raises:
        BusyError: a cycle is running.
        StoreError: a store is out of reach; the same command goes on.
    """
    at = opened(folder)
    given = {"keep_last": keep_last, "keep_days": keep_days}
    rules = at.config.registry.model_copy(update={key: one for key, one in given.items() if one is not None})
    with held(at.stores):
        if not dry_run:
            forget.finish(at.config, at.stores)
        return collect(at.config, at.stores, RegistrySettings(**rules.model_dump()), dry_run=dry_run)
