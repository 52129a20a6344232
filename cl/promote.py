"""Promote a challenger that passed its gates, go back to an older version, and mend what a crash left."""

from __future__ import annotations

import getpass
import logging
import socket
from datetime import UTC, datetime, timedelta

from cl.errors import ConflictError, InputError, StoreError
from cl.records import LedgerEntry, Promotion, Registration
from cl.stores.ledger import Action, Ledger
from cl.stores.mlflow import Registry

log = logging.getLogger(__name__)
# an intent of this machine is of a dead process, for the project's lock is held; one from elsewhere may live
GRACE = timedelta(minutes=1)


def promote(
    registry: Registry, ledger: Ledger, registration: Registration, *, expected: str | None, why: str
) -> Promotion:
    """Make a version the champion if it passed its gates; else leave it as the challenger that was refused.

    Args:
        registry: where the aliases are.
        ledger: where the move is written down before and after it is made.
        registration: the version and whether it passed; the registry must say so too.
        expected: the champion that the gates compared with.
        why: for the ledger.

    Raises:
        ConflictError: the champion is no longer the expected one; nothing has moved.
    """
    version = registration.version
    if not registration.passed or version not in _passed(registry):
        if registration.passed:
            log.warning("version %s of '%s' lacks the tag cl.gates=passed; refused", version, registry.model)
        registry.set_alias("challenger", version)
        return Promotion(version=version, promoted=False, champion_before=expected, champion_after=expected)
    if ledger.champion(registry.model) != version:
        _move(registry, ledger, "promote", expected=expected, to=version, why=why)
    registry.delete_alias("challenger")
    return Promotion(version=version, promoted=True, champion_before=expected, champion_after=version)


def rollback(registry: Registry, ledger: Ledger, version: str | None, *, why: str) -> LedgerEntry:
    """Make an older version the champion again; None is the champion before the present one.

    Raises:
        InputError: there is no such version, it never passed its gates, or it is the champion already.
    """
    model = registry.model
    champion = ledger.champion(model)
    wanted = version or ledger.previous(model)
    if wanted is None:
        raise InputError(f"'{model}' has no earlier champion to go back to")
    passed = _passed(registry)
    if wanted not in passed:
        withdrawn = {one.version: one.withdrawn for one in registry.versions()}.get(wanted)
        if withdrawn is not None:
            there = _or_none(passed)
            raise InputError(f"version {wanted} of '{model}' cannot serve again: {withdrawn}; there are: {there}")
        raise InputError(f"no version {wanted} of '{model}' that passed its gates; there are: {_or_none(passed)}")
    if wanted == champion:
        raise InputError(f"version {wanted} of '{model}' is the champion already")
    return _move(registry, ledger, "rollback", expected=champion, to=wanted, why=why)


def repair(registry: Registry, ledger: Ledger) -> None:
    """Bring ledger and alias together again; called with the project's lock held, before anything is written.

    An intent without a commit is of a process that died: it is committed if the alias had moved, else
    abandoned. Then the alias follows the ledger. A ledger that is new beside an older registry adopts its
    champion.

    Raises:
        ConflictError: another machine is moving the champion at this moment.
        StoreError: the alias of a registry that is new here is on a version that never passed its gates.
    """
    model = registry.model
    _settle(registry, ledger)
    champion, alias = ledger.champion(model), registry.champion()
    if champion is None and alias is not None:
        _adopt(registry, ledger, alias)
    elif champion is not None and alias != champion:
        log.warning("'%s': champion is %s by alias, %s by the ledger, which stands", model, alias, champion)
        _follow(registry, champion)


def _settle(registry: Registry, ledger: Ledger) -> None:
    model = registry.model
    intent = ledger.open_intent(model)
    if intent is None:
        return
    elsewhere = not intent.actor.endswith(f"@{socket.gethostname()}")
    if elsewhere and datetime.now(UTC) - intent.at < GRACE:
        raise ConflictError(f"{intent.actor} is moving '{model}' to version {intent.to_version}; try again soon")
    done = registry.champion() == intent.to_version
    settled = (ledger.commit if done else ledger.abandon)(model, intent)
    log.warning("a move of '%s' to version %s had not ended: %s", model, settled.to_version, settled.state)


def _adopt(registry: Registry, ledger: Ledger, alias: str) -> None:
    model = registry.model
    if alias not in _passed(registry):
        raise StoreError(
            f"version {alias} of '{model}' has the alias champion but not the tag cl.gates=passed, and the "
            "ledger is empty; take the alias away, or set the tag if you answer for this version"
        )
    why = "found in the registry"
    ledger.commit(model, ledger.intend(model, "adopt", expected=None, to=alias, why=why, actor=actor()))


def _move(
    registry: Registry, ledger: Ledger, action: Action, *, expected: str | None, to: str, why: str
) -> LedgerEntry:
    entry = ledger.intend(registry.model, action, expected=expected, to=to, why=why, actor=actor())
    try:
        registry.set_alias("champion", to)
    except Exception:
        ledger.abandon(registry.model, entry)
        raise
    try:
        return ledger.commit(registry.model, entry)
    except ConflictError:
        _follow(registry, ledger.champion(registry.model))
        raise


def _follow(registry: Registry, champion: str | None) -> None:
    """Point the alias to the ledger's champion; one that was deleted is told: a rollback can mend it."""
    if champion is None:
        registry.delete_alias("champion")
    elif champion in [one.version for one in registry.versions()]:
        registry.set_alias("champion", champion)
    else:
        log.warning("version %s of '%s' was deleted; `cl rollback VERSION`", champion, registry.model)


def _passed(registry: Registry) -> list[str]:
    passed = [one for one in registry.versions() if one.tags.get("cl.gates") == "passed"]
    return [one.version for one in passed if one.withdrawn is None]


def _or_none(versions: list[str]) -> str:
    return ", ".join(versions) or "none"


def actor() -> str:
    """Return who moves the champion: the user and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
