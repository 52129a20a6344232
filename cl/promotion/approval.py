"""Manual approval between gating and promotion."""

from __future__ import annotations

from collections.abc import Sequence

from cl import config as configuration
from cl.errors import ConflictError, InputError, RefusedError
from cl.promotion.alias_moves import move_alias, remember_head
from cl.promotion.repair import locked_and_repaired
from cl.records import LedgerEntry, Move
from cl.registry.descriptions import refresh_descriptions
from cl.registry.versions import passed_versions
from cl.stores.actor import current_actor
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry
from cl.stores.project_folder import ProjectFolder
from cl.stores.stores import open_stores


def request_approval(registry: Registry, ledger: Ledger, move: Move, *, seen: Sequence[LedgerEntry]) -> bool:
    """Let a version that passed its gates wait for approval; return whether it is still waiting.

    The request is recorded once, however often the step is repeated; it replaces an earlier pending request.

    Args:
        registry: the registry that holds the aliases.
        ledger: records the request.
        move: the move to make on approval.
        seen: the ledger entries that it is based on.

    Raises:
        ConflictError: the champion is no longer the one that the gates compared with.
    """
    version, pending = move.to, state.pending_approval(seen)
    assert version is not None
    if pending is None or pending.to_version != version:
        if state.approval_outcome(seen, version) is not None:  # decided while this cycle was interrupted
            return False
        entry = ledger.note(registry.model, move.model_copy(update={"action": "wait"}), seen=seen)
        remember_head(registry, [*seen, entry])
        refresh_descriptions(registry, [*seen, entry], [version, pending.to_version if pending else None])
    registry.set_alias("challenger", version)
    return True


def approve(
    registry: Registry, ledger: Ledger, version: str, *, why: str = "", actor: str | None = None
) -> LedgerEntry:
    """Approve the pending version and move the alias; approval and move are a single ledger entry.

    Raises:
        InputError: this version never waited for approval.
        ConflictError: it no longer waits: already decided, or its gates compared it with a former champion.
        RefusedError: it has lost the tag cl.gates=passed since approval was requested.
    """
    entries = ledger.entries(registry.model)
    pending = _pending_entry(registry.model, entries, version)
    if version not in passed_versions(registry.versions()):
        raise RefusedError(
            f"version {version} of '{registry.model}' waits for approval, but lacks the tag cl.gates=passed"
        )
    entry = move_alias(
        registry,
        ledger,
        Move(
            action="approve",
            expected=pending.from_version,
            to=version,
            why=why or pending.why,
            alias=pending.alias,
            share=pending.share,
            actor=actor or current_actor(),
            digest=pending.verdict_digest,
            manifest=pending.manifest_digest,
        ),
        seen=entries,
    )
    registry.delete_alias("challenger", version=version)
    return entry


def reject(registry: Registry, ledger: Ledger, version: str, *, why: str, actor: str | None = None) -> LedgerEntry:
    """Reject the pending version; the champion is unchanged, and the rejected data is not retrained automatically.

    Raises:
        InputError: this version never waited for approval, or the reason is missing.
        ConflictError: it no longer waits.
    """
    if not why.strip():
        raise InputError("a rejection needs a reason: --why TEXT; it is kept in the ledger")
    entries = ledger.entries(registry.model)
    pending = _pending_entry(registry.model, entries, version)
    entry = ledger.note(
        registry.model,
        Move(
            action="reject",
            expected=pending.from_version,
            to=version,
            why=why,
            actor=actor or current_actor(),
            alias=pending.alias,
            digest=pending.verdict_digest,
        ),
        seen=entries,
    )
    remember_head(registry, [*entries, entry])
    refresh_descriptions(registry, [*entries, entry], [version])
    return entry


def _pending_entry(model: str, entries: Sequence[LedgerEntry], version: str) -> LedgerEntry:
    pending = state.pending_approval(entries)
    if pending is not None and pending.to_version == version:
        return pending
    if (outcome := state.approval_outcome(entries, version)) is not None:
        raise ConflictError(f"version {version} of '{model}' no longer waits for approval: {outcome}")
    waiting = f"version {pending.to_version} does" if pending else "none does"
    raise InputError(f"version {version} of '{model}' does not wait for approval; {waiting}")


def record_decision(
    project: ProjectFolder, version: str, *, yes: bool, why: str, actor: str | None = None, wait: float = 0.0
) -> LedgerEntry:
    """Approve or reject the pending version and return the ledger entry.

    Args:
        project: the project folder.
        version: the version to decide on.
        yes: whether it may serve.
        why: the reason; required for a rejection.
        actor: who decides; None is the current user.
        wait: seconds to wait for another process to release the project.

    Raises:
        InputError: it never waited for approval, or a rejection has no reason.
        ConflictError: it no longer waits.
        BusyError: a cycle is running.
    """
    stores = open_stores(project, configuration.load(project.config))
    with locked_and_repaired(stores, wait=wait):
        decide = approve if yes else reject
        return decide(stores.registry, stores.ledger, version, why=why, actor=actor)
