"""A person's answer, from wherever it comes: one word decides about the version that waits."""

from __future__ import annotations

from cl import config as configuration
from cl.approve import approve, reject
from cl.records import LedgerEntry
from cl.repair import held
from cl.stores.connect import connect
from cl.stores.local import Project


def answer(
    project: Project, version: str, *, yes: bool, why: str, actor: str | None = None, wait: float = 0.0
) -> LedgerEntry:
    """Approve or reject the version that waits and return the ledger's entry.

    Args:
        project: the folder.
        version: which one.
        yes: whether it may serve.
        why: the reason; a no needs one.
        actor: who says so; None is whoever runs this.
        wait: seconds to wait for another process that works on this project.

    Raises:
        InputError: it has never waited, or a no has no reason.
        ConflictError: it does not wait any more.
        BusyError: a cycle is running.
    """
    stores = connect(project, configuration.load(project.config))
    with held(stores, wait=wait):
        decide = approve if yes else reject
        return decide(stores.registry, stores.ledger, version, why=why, actor=actor)
