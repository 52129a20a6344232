"""`cl forget`: rows leave the data, what the champion keeps of them, and the model or its next update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.errors import InputError
from cl.forgetting import forget
from cl.promotion.alias_moves import current_actor
from cl.promotion.repair import locked_and_repaired
from cl.stores.opened import open_project


def forget_rows(folder: Path, condition: str, *, why: str, everywhere: bool, dry_run: bool) -> dict[str, Any]:
    """Forget the rows that a condition names, and return what was done, or with ``dry_run`` what would be.

    A removal that was killed is finished first; where it has taken all rows that match, it is what is returned.

    Raises:
        InputError: the condition cannot be read, or no row matches.
        BusyError: a cycle is running.
        StoreError: a store is out of reach; the same command goes on.
    """
    at = open_project(folder)
    with locked_and_repaired(at.stores):
        done = None if dry_run else forget.finish_removal(at.config, at.stores)
        at.stores.data.bring()
        try:
            wanted = forget.plan_removal(
                at.config, at.stores, condition, by=current_actor(), why=why, everywhere=everywhere
            )
        except InputError:
            if done is None:
                raise
            return _told(done)
        if dry_run:
            return {"would_remove": wanted.removal.model_dump(mode="json", include={"rows", "quarantined", "answers"})}
        forget.begin_removal(at.project, wanted)
        finished = forget.finish_removal(at.config, at.stores)
        assert finished is not None
        return _told(finished)


def _told(done: forget.Forgotten) -> dict[str, Any]:
    return done.model_dump(mode="json", exclude={"removal": {"ids", "salt"}})
