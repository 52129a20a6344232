"""Promote a challenger that passed its gates, go back to an older version, and mend what a crash left."""

from __future__ import annotations

import getpass
import logging
import socket

from cl.errors import InputError
from cl.records import LedgerEntry, Promotion
from cl.register import Registration
from cl.stores.ledger import Ledger
from cl.stores.mlflow import Registry

log = logging.getLogger(__name__)


def promote(
    registry: Registry, ledger: Ledger, registration: Registration, *, expected: str | None, why: str
) -> Promotion:
    """Make a version the champion if it passed its gates; else leave it as the challenger that was refused.

    Args:
        registry: where the aliases are.
        ledger: where the move is written down before and after it is made.
        registration: the version and whether it passed.
        expected: the champion that the gates compared with.
        why: for the ledger.

    Raises:
        ConflictError: the champion is no longer the expected one; nothing has moved.
    """
    version = registration.version
    if not registration.passed:
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
    champion = ledger.champion(registry.model)
    wanted = version or ledger.previous(registry.model)
    if wanted is None:
        raise InputError(f"'{registry.model}' has no earlier champion to go back to")
    passed = [one.version for one in registry.versions() if one.tags.get("cl.gates") == "passed"]
    if wanted not in passed:
        known = ", ".join(passed) or "none"
        raise InputError(f"version {wanted} of '{registry.model}' does not exist or never passed its gates; there are: {known}")
    if wanted == champion:
        raise InputError(f"version {wanted} of '{registry.model}' is the champion already")
    return _move(registry, ledger, "rollback", expected=champion, to=wanted, why=why)


def repair(registry: Registry, ledger: Ledger) -> None:
    """Bring ledger and alias together again; called with the project's lock held, before anything is written.

    An intent without a commit is of a process that died: it is committed if the alias had moved, else abandoned.
    Then the alias follows the ledger. A ledger that is new beside an older registry adopts its champion.
    """
    model, alias = registry.model, registry.champion()
    intent = ledger.open_intent(model)
    if intent is not None:
        settle = ledger.commit if alias == intent.to_version else ledger.abandon
        settle(model, intent)
        log.warning("the move of '%s' to version %s had not ended; it was settled", model, intent.to_version)
    champion = ledger.champion(model)
    if champion is None and alias is not None:
        entry = ledger.intend(
            model, "adopt", expected=None, to=alias, why="found in the registry", actor=_actor()
        )
        ledger.commit(model, entry)
    elif champion is not None and alias != champion:
        log.warning("champion of '%s' was version %s by alias, %s by the ledger; the ledger stands", model, alias, champion)
        registry.set_alias("champion", champion)


def _move(
    registry: Registry, ledger: Ledger, action: str, *, expected: str | None, to: str, why: str
) -> LedgerEntry:
    entry = ledger.intend(registry.model, action, expected=expected, to=to, why=why, actor=_actor())  # type: ignore[arg-type]
    try:
        registry.set_alias("champion", to)
    except Exception:
        ledger.abandon(registry.model, entry)
        raise
    return ledger.commit(registry.model, entry)


def _actor() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
