"""A person promotes a version, rolls back, or withdraws one."""

from __future__ import annotations

from collections.abc import Sequence

from cl.errors import ConflictError, InputError, RefusedError
from cl.promotion.alias_moves import current_actor, move_alias
from cl.records import Alias, LedgerEntry, Move, VersionInfo
from cl.registry.versions import passed_versions, verdict_digest
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import COMPARED, GATES, PARENT, SMOKED, Registry


def promote_by_hand(
    registry: Registry,
    ledger: Ledger,
    version: str,
    *,
    alias: Alias = "champion",
    share: float | None = None,
    why: str,
    despite_gates: bool = False,
) -> LedgerEntry:
    """Make a version champion, canary or shadow because a person says so.

    Args:
        registry: where the aliases are.
        ledger: where the move is written down.
        version: which one.
        alias: what it becomes.
        share: of the requests, for a canary or shadow.
        why: the reason.
        despite_gates: also if it failed its gates, or was compared with another champion than the present one; never
            if it does not load, or has been withdrawn.

    Raises:
        InputError: there is no such version, it is that already, it has been withdrawn, or a reason is missing.
        RefusedError: it failed its gates; or its smoke test has failed or not ended, which no reason makes up for.
        ConflictError: its gates compared it with a champion that does not serve any more.
    """
    check_reason(why)
    model, versions = registry.model, registry.versions()
    entries = ledger.entries(model)
    info = _known(versions, version, model)
    _check_new(entries, version, alias, share)
    _check_able(info, model)
    champion = state.champion(entries)
    objection = _objection(info, champion)
    if objection and not despite_gates:
        raise objection
    entry = move_alias(
        registry,
        ledger,
        Move(
            action="override" if objection else "promote",
            expected=champion,
            to=version,
            why=why,
            alias=alias,
            share=share,
            digest=verdict_digest(versions, version),
            actor=current_actor(),
        ),
        seen=entries,
    )
    registry.delete_alias("challenger", version=version)
    return entry


def withdraw(registry: Registry, ledger: Ledger, alias: Alias, *, why: str) -> LedgerEntry:
    """Let a canary or shadow be neither any more; what it learnt is not learnt by itself.

    Raises:
        InputError: there is none, or a reason is missing.
    """
    check_reason(why)
    entries = ledger.entries(registry.model)
    if state.holder(entries, alias) is None:
        raise InputError(f"'{registry.model}' has no {alias} to withdraw")
    champion = state.champion(entries)
    return move_alias(
        registry,
        ledger,
        Move(action="withdraw", expected=champion, to=None, why=why, alias=alias, actor=current_actor()),
        seen=entries,
    )


def rollback(registry: Registry, ledger: Ledger, version: str | None, *, why: str) -> LedgerEntry:
    """Make an older version the champion again; None is the champion before the present one.

    Raises:
        InputError: there is no such version, it never passed its gates, or it is the champion already.
    """
    model, versions = registry.model, registry.versions()
    entries = ledger.entries(model)
    champion = state.champion(entries)
    wanted = version or state.previous_champion(entries)
    if wanted is None:
        raise InputError(f"'{model}' has no earlier champion to go back to")
    good, by_hand = passed_versions(versions), state.was_overridden(entries)
    able = [
        one.version for one in versions if one.version in good or (one.version in by_hand and one.withdrawn is None)
    ]
    if wanted not in able:
        known = ", ".join(able) or "none"
        if withdrawn := next((one.withdrawn for one in versions if one.version == wanted), None):
            raise InputError(f"version {wanted} of '{model}' cannot serve again: {withdrawn}; there are: {known}")
        raise InputError(f"no version {wanted} of '{model}' that passed its gates; there are: {known}")
    if wanted == champion:
        raise InputError(f"version {wanted} of '{model}' is the champion already")
    digest = verdict_digest(versions, wanted)
    return move_alias(
        registry,
        ledger,
        Move(action="rollback", expected=champion, to=wanted, why=why, digest=digest, actor=current_actor()),
        seen=entries,
    )


def check_reason(why: str) -> None:
    """Refuse a move by hand that says nothing of why.

    Raises:
        InputError: there is no reason.
    """
    if not why.strip():
        raise InputError("a move by hand needs a reason: --why TEXT; it is kept in the ledger")


def _known(versions: Sequence[VersionInfo], version: str, model: str) -> VersionInfo:
    for one in versions:
        if one.version == version:
            return one
    raise InputError(f"no version {version} of '{model}'; there are: {_listed(versions)}")


def _check_new(entries: Sequence[LedgerEntry], version: str, alias: Alias, share: float | None) -> None:
    """Refuse what is so already, and a champion that would stand beside itself."""
    held = state.holders(entries)
    if "champion" in held and held["champion"].to_version == version:
        raise InputError(f"version {version} is the champion already")
    if alias in held and held[alias].to_version == version and held[alias].share == share:
        raise InputError(f"version {version} is the {alias} already, with this share")


def _check_able(info: VersionInfo, model: str) -> None:
    """Refuse what no reason makes serve: a version that was withdrawn, or that has not answered when it was loaded."""
    if info.withdrawn is not None:
        raise InputError(f"version {info.version} of '{model}' cannot serve again: {info.withdrawn}")
    if info.tags.get(GATES) == "pending":
        raise RefusedError(f"the smoke test of version {info.version} has not ended; `cl run` goes on with its cycle")
    if info.tags.get(SMOKED) == "failed":
        raise RefusedError(
            f"version {info.version} of '{model}' failed its smoke test (`cl gates {info.version}`) and cannot serve, "
            "whatever the reason; if its files were mended since, --despite-gates tests it again"
        )


def _objection(info: VersionInfo, champion: str | None) -> RefusedError | ConflictError | None:
    """Return what speaks against a version: it failed its gates, or they compared it with a former champion."""
    version, compared = info.version, info.tags.get(COMPARED, info.tags.get(PARENT, "")) or None
    if info.version not in passed_versions([info]):
        return RefusedError(
            f"version {version} did not pass its gates (`cl gates {version}`); --despite-gates --why TEXT promotes it "
            "all the same, and the ledger says so"
        )
    if compared != champion:
        return ConflictError(
            f"the gates compared version {version} with champion {compared or 'none'}, and version "
            f"{champion or 'none'} serves now; learn it once more (`cl run --again EXPERIENCE`), go back to it if it "
            f"has served (`cl rollback {version}`), or --despite-gates --why TEXT"
        )
    return None


def _listed(versions: Sequence[VersionInfo]) -> str:
    return ", ".join(one.version for one in versions) or "none"
