"""Manual promotion, rollback and withdrawal of versions."""

from __future__ import annotations

from collections.abc import Sequence

from cl.errors import ConflictError, InputError, RefusedError
from cl.promotion.alias_moves import move_alias
from cl.records import Alias, LedgerEntry, Move, VersionInfo
from cl.registry.versions import check_verdict, manifest_digest, passed_versions, verdict_digest
from cl.stores.actor import current_actor
from cl.stores.ledger import state
from cl.stores.ledger.ledger import Ledger
from cl.stores.mlflow.registry import COMPARED, GATES, PARENT, SMOKE_TAG, Registry


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
    """Make a version champion, canary or shadow by a manual decision.

    Args:
        registry: the registry that holds the aliases.
        ledger: records the move.
        version: the version to promote.
        alias: the alias that it gets.
        share: share of the requests, for a canary or shadow.
        why: the reason.
        despite_gates: promote it even if it failed its gates or was compared with a former champion; a version that
            does not load or was withdrawn is always refused.

    Raises:
        InputError: there is no such version, it has the alias already, it was withdrawn, or the reason is missing.
        RefusedError: it failed its gates, or its smoke test failed or has not ended; the latter cannot be overridden.
        ConflictError: its gates compared it with a former champion.
    """
    check_reason(why)
    model, versions = registry.model, registry.versions()
    entries = ledger.entries(model)
    info = _find_version(versions, version, model)
    _check_not_held(entries, version, alias, share)
    _check_servable(info, model)
    champion = state.champion(entries)
    objection = _objection(info, champion)
    if objection and not despite_gates:
        raise objection
    check_verdict(registry, info, entries)
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
            manifest=manifest_digest(versions, version),
            actor=current_actor(),
        ),
        seen=entries,
    )
    registry.delete_alias("challenger", version=version)
    return entry


def withdraw(registry: Registry, ledger: Ledger, alias: Alias, *, why: str) -> LedgerEntry:
    """Remove the canary or shadow alias; the data of that version is not retrained automatically.

    Raises:
        InputError: no version has the alias, or the reason is missing.
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
    """Make an earlier version the champion again; None selects the previous champion.

    Raises:
        InputError: there is no such version, it never passed its gates, or it is the champion already.
    """
    model, versions = registry.model, registry.versions()
    entries = ledger.entries(model)
    champion = state.champion(entries)
    wanted = version or state.previous_champion(entries)
    if wanted is None:
        raise InputError(f"'{model}' has no earlier champion to go back to")
    passed, overridden = passed_versions(versions), state.overridden_versions(entries)
    eligible = [
        info.version
        for info in versions
        if info.version in passed or (info.version in overridden and info.withdrawn is None)
    ]
    if wanted not in eligible:
        known = ", ".join(eligible) or "none"
        if withdrawn := next((info.withdrawn for info in versions if info.version == wanted), None):
            raise InputError(f"version {wanted} of '{model}' cannot serve again: {withdrawn}; there are: {known}")
        if wanted not in [info.version for info in versions] and version is None:
            others = ", ".join(name for name in eligible if name != champion)
            remedy = f"name another: cl rollback VERSION; there are: {others}" if others else "there is no other"
            raise InputError(f"version {wanted} of '{model}', the champion before, was deleted from MLflow; {remedy}")
        raise InputError(f"no version {wanted} of '{model}' that passed its gates; there are: {known}")
    if wanted == champion:
        raise InputError(f"version {wanted} of '{model}' is the champion already")
    check_verdict(registry, _find_version(versions, wanted, model), entries)
    return move_alias(
        registry,
        ledger,
        Move(
            action="rollback",
            expected=champion,
            to=wanted,
            why=why,
            digest=verdict_digest(versions, wanted),
            manifest=manifest_digest(versions, wanted),
            actor=current_actor(),
        ),
        seen=entries,
    )


def check_reason(why: str) -> None:
    """Check that a manual move has a reason.

    Raises:
        InputError: the reason is missing.
    """
    if not why.strip():
        raise InputError("a manual move needs a reason: --why TEXT; the ledger keeps it")


def _find_version(versions: Sequence[VersionInfo], version: str, model: str) -> VersionInfo:
    for info in versions:
        if info.version == version:
            return info
    raise InputError(f"no version {version} of '{model}'; there are: {_join_versions(versions)}")


def _check_not_held(entries: Sequence[LedgerEntry], version: str, alias: Alias, share: float | None) -> None:
    """Refuse a move that changes nothing, and a trial alias for the champion."""
    held = state.holders(entries)
    if "champion" in held and held["champion"].to_version == version:
        raise InputError(f"version {version} is the champion already")
    if alias in held and held[alias].to_version == version and held[alias].share == share:
        raise InputError(f"version {version} is the {alias} already, with this share")


def _check_servable(info: VersionInfo, model: str) -> None:
    """Refuse a version that was withdrawn or did not pass its smoke test; no reason overrides this."""
    if info.withdrawn is not None:
        raise InputError(f"version {info.version} of '{model}' cannot serve again: {info.withdrawn}")
    if info.tags.get(GATES) == "pending":
        raise RefusedError(f"the smoke test of version {info.version} has not ended; `cl run` resumes its cycle")
    if info.tags.get(SMOKE_TAG) == "failed":
        raise RefusedError(
            f"version {info.version} of '{model}' failed its smoke test (`cl gates {info.version}`) and cannot serve, "
            "whatever the reason; if its files were repaired since, --despite-gates repeats the test"
        )


def _objection(info: VersionInfo, champion: str | None) -> RefusedError | ConflictError | None:
    """Return why a version should not be promoted: it failed its gates, or they used a former champion; or None."""
    version, compared = info.version, info.tags.get(COMPARED, info.tags.get(PARENT, "")) or None
    if info.version not in passed_versions([info]):
        return RefusedError(
            f"version {version} did not pass its gates (`cl gates {version}`); --despite-gates --why TEXT overrides "
            "them, and the ledger records it"
        )
    if compared != champion:
        return ConflictError(
            f"the gates compared version {version} with champion {compared or 'none'}, and version "
            f"{champion or 'none'} serves now; retrain it (`cl run --again EXPERIENCE`), restore it if it served "
            f"before (`cl rollback {version}`), or --despite-gates --why TEXT"
        )
    return None


def _join_versions(versions: Sequence[VersionInfo]) -> str:
    return ", ".join(info.version for info in versions) or "none"
