"""Promote a challenger that passed its gates at the end of a cycle."""

from __future__ import annotations

import logging

from cl.config import PromotionSettings
from cl.promotion.alias_moves import move_alias
from cl.promotion.approval import request_approval
from cl.records import Alias, Move, Promotion, Registration
from cl.registry.descriptions import refresh_descriptions
from cl.registry.versions import check_verdict, manifest_digest, passed_versions, verdict_digest
from cl.stores.actor import current_actor
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import Registry

log = logging.getLogger(__name__)


def promote(
    registry: Registry,
    ledger: Ledger,
    registration: Registration,
    *,
    expected: str | None,
    why: str,
    wanted: PromotionSettings | None = None,
) -> Promotion:
    """Give a version that passed its gates the configured alias; otherwise leave it as refused challenger.

    Args:
        registry: the registry that holds the aliases.
        ledger: records the intent before the move and the commit after it.
        registration: the version and whether it passed; the registry must confirm it.
        expected: the champion that the gates compared it with.
        why: the reason, for the ledger.
        wanted: the alias, and whether approval is required; None makes it the champion.

    Raises:
        ConflictError: the champion is no longer the expected one; nothing was moved.
        RefusedError: its tags contradict its verdict; nothing was moved.
        IntegrityError: an entry of the ledger cannot be trusted; nothing was moved.
    """
    wanted = wanted or PromotionSettings()
    version, model = registration.version, registry.model
    entries, info = ledger.entries(model), registry.find(version)
    versions = [] if info is None else [info]
    alias: Alias = wanted.to if expected is not None else "champion"
    share = wanted.share if alias != "champion" else None
    outcome = Promotion(version=version, promoted=False, champion_before=expected, champion_after=expected)
    if info is None or not registration.passed or version not in passed_versions(versions):
        if registration.passed:
            log.warning("version %s of '%s' lacks the tag cl.gates=passed; refused", version, model)
        registry.set_alias("challenger", version)
        refresh_descriptions(registry, entries, [version])
        return outcome
    check_verdict(registry, info, entries)
    move = Move(
        action="promote",
        to=version,
        expected=expected,
        why=why,
        actor=current_actor(),
        alias=alias,
        share=share,
        digest=verdict_digest(versions, version),
        manifest=manifest_digest(versions, version),
    )
    done = state.ever_had_alias(entries, version, alias)  # if this step was interrupted and is repeated
    if wanted.approval == "person" and not done:
        return outcome.model_copy(update={"waiting": request_approval(registry, ledger, move, seen=entries)})
    if not done:
        move_alias(registry, ledger, move, seen=entries)
    registry.delete_alias("challenger")
    if alias != "champion":
        return outcome.model_copy(update={"trial_alias": alias, "share": share})
    return outcome.model_copy(update={"promoted": True, "champion_after": version})
