"""`cl forget`: remove rows from the data, from the champion's stored rows, and from the model or its next update."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cl.errors import InputError
from cl.promotion.repair import locked_and_repaired
from cl.revision import forget
from cl.stores.actor import current_actor
from cl.stores.opened import open_project


def forget_rows(folder: Path, condition: str, *, why: str, everywhere: bool, dry_run: bool) -> dict[str, Any]:
    """Forget the rows that match a condition, and return what was done, or with ``dry_run`` what would be done.

    A killed removal is finished first; if it removed all matching rows, its result is returned.

    Raises:
        InputError: the condition is invalid, or no row matches.
        BusyError: a cycle is running.
        StoreError: a store is unreachable; repeat the command to resume.
    """
    project = open_project(folder)
    with locked_and_repaired(project.stores):
        done = None if dry_run else forget.finish_removal(project.config, project.stores)
        project.stores.data.bring()
        try:
            plan = forget.plan_removal(
                project.config, project.stores, condition, by=current_actor(), why=why, everywhere=everywhere
            )
        except InputError:
            if done is None:
                raise
            return _to_result(done)
        if dry_run:
            return {"would_remove": plan.removal.model_dump(mode="json", include={"rows", "quarantined", "answers"})}
        forget.begin_removal(project.project, plan)
        finished = forget.finish_removal(project.config, project.stores)
        assert finished is not None
        return _to_result(finished)


def _to_result(done: forget.Forgotten) -> dict[str, Any]:
    return done.model_dump(mode="json", exclude={"removal": {"ids", "salt"}})
