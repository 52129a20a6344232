"""A person's word between the gates and the promotion: a version waits for it, and one word decides."""

from __future__ import annotations

from collections.abc import Sequence

from cl import config as configuration
from cl.errors import ConflictError, InputError, RefusedError
from cl.promotion.alias_moves import current_actor, move_alias, remember_head
from cl.promotion.repair import locked_and_repaired
from cl.records import LedgerEntry, Move
from cl.registry.versions import passed_versions
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores


def request_approval(registry: Registry, ledger: Ledger, move: Move, *, seen: Sequence[LedgerEntry]) -> bool:
    """Let a version that passed its gates wait for a person; return whether the answer is still to come.

    A version asks once, however often the step is repeated; it takes the place of one that waited before.

    Args:
        registry: where the aliases are.
        ledger: where it is written down that the version waits.
        move: what a yes would do.
        seen: the ledger's entries that it rests on.

    Raises:
        ConflictError: the champion is no longer the one that the gates compared with.
    """
    version, asked = move.to, state.pending_approval(seen)
    assert version is not None
    if asked is None or asked.to_version != version:
        if state.approval_outcome(seen, version) is not None:  # it was decided while this cycle lay killed
            return False
        entry = ledger.note(registry.model, move.model_copy(update={"action": "wait"}), seen=seen)
        remember_head(registry, [*seen, entry])
    registry.set_alias("challenger", version)
    return True


def approve(
    registry: Registry, ledger: Ledger, version: str, *, why: str = "", actor: str | None = None
) -> LedgerEntry:
    """Let the version that waits become what it was to become; the yes and the move are one entry.

    Raises:
        InputError: this version has never waited.
        ConflictError: it does not wait any more: decided by another, or compared with a former champion.
        RefusedError: it has lost the tag of a version that passed its gates since it was asked for.
    """
    entries = ledger.entries(registry.model)
    asked = _waiting(registry.model, entries, version)
    if version not in passed_versions(registry.versions()):
        raise RefusedError(f"version {version} of '{registry.model}' waits, but lacks the tag cl.gates=passed by now")
    entry = move_alias(
        registry,
        ledger,
        Move(
            action="approve",
            expected=asked.from_version,
            to=version,
            why=why or asked.why,
            alias=asked.alias,
            share=asked.share,
            actor=actor or current_actor(),
            digest=asked.verdict_digest,
        ),
        seen=entries,
    )
    registry.delete_alias("challenger", version=version)
    return entry


def reject(registry: Registry, ledger: Ledger, version: str, *, why: str, actor: str | None = None) -> LedgerEntry:
    """Say no to the version that waits; the champion serves on, and what the version learnt is not learnt by itself.

    Raises:
        InputError: this version has never waited, or there is no reason.
        ConflictError: it does not wait any more.
    """
    if not why.strip():
        raise InputError("a rejection needs a reason: --why TEXT; it is kept in the ledger")
    entries = ledger.entries(registry.model)
    asked = _waiting(registry.model, entries, version)
    entry = ledger.note(
        registry.model,
        Move(
            action="reject",
            expected=asked.from_version,
            to=version,
            why=why,
            actor=actor or current_actor(),
            alias=asked.alias,
            digest=asked.verdict_digest,
        ),
        seen=entries,
    )
    remember_head(registry, [*entries, entry])
    return entry


def _waiting(model: str, entries: Sequence[LedgerEntry], version: str) -> LedgerEntry:
    asked = state.pending_approval(entries)
    if asked is not None and asked.to_version == version:
        return asked
    if (fate := state.approval_outcome(entries, version)) is not None:
        raise ConflictError(f"version {version} of '{model}' does not wait any more: {fate}")
    what = f"version {asked.to_version} does" if asked else "none does"
    raise InputError(f"version {version} of '{model}' does not wait for approval; {what}")


def record_decision(
    project: ProjectFolder, version: str, *, yes: bool, why: str, actor: str | None = None, wait: float = 0.0
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
    stores = open_stores(project, configuration.load(project.config))
    with locked_and_repaired(stores, wait=wait):
        decide = approve if yes else reject
        return decide(stores.registry, stores.ledger, version, why=why, actor=actor)
