"""`cl audit` and `cl champion`: verify the ledger, and show the champion at any time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from cl.errors import InputError, IntegrityError
from cl.promotion.outside import outside_changes, undo_changes
from cl.promotion.vouch import NOBODY, examine, vouch_for
from cl.records import IntegrityViolation, LedgerEntry, Record, VersionInfo
from cl.registry.versions import verdict_digest
from cl.stores.ledger import state
from cl.stores.ledger.hash_chain import first_violation
from cl.stores.mlflow.outside_changes import MLFLOW
from cl.stores.opened import OpenProject, open_project
from cl.stores.project_folder import ProjectFolder


class ReadLedger(Record):
    """All entries of a ledger, oldest first, and the first integrity violation."""

    entries: list[LedgerEntry]
    broken: IntegrityViolation | None


def audit(folder: Path) -> dict[str, Any]:
    """Return the ledger's entries, and the first integrity violation."""
    return _describe_ledger(open_project(folder, reading=True))


def sign_all(folder: Path) -> dict[str, Any]:
    """Sign all entries with the configured key, if the chain is intact without signatures; return them.

    Raises:
        InputError: no key is configured.
        IntegrityError: the chain is broken; nothing was signed.
    """
    project = open_project(folder)
    ledger, model, key = project.stores.ledger, project.config.name, project.stores.ledger.key
    if key is None:
        raise InputError("no signing key; set stores.ledger_key to env:NAME")
    head, entries = project.stores.registry.ledger_head(), ledger.unverified(model)
    if violation := first_violation(model, entries, head=head):
        raise IntegrityError(f"entry {violation.sequence} cannot be signed: {violation.why}; nothing was signed")
    ledger.sign(model, entries, key)
    return _describe_ledger(project)


def repair_ledger(folder: Path, version: str, *, why: str) -> dict[str, Any]:
    """Set the entries aside that cannot be trusted, make a version champion on the caller's word, and return the rest.

    ``mlflow`` in place of a version undoes what was changed in MLflow by hand, as far as possible.

    Raises:
        InputError: the ledger is whole, there is no such version, or the reason is missing; nothing was changed in
            MLflow.
        RefusedError: the version must not serve.
        BusyError: another process holds the project.
    """
    project = open_project(folder)
    with project.project.lock():
        project.stores.registry.initialise()
        if version == MLFLOW:
            return _describe_ledger(project, done=undo_changes(project.stores, why=why))
        registry = project.stores.registry
        vouch_for(registry, project.stores.ledger, version, why=why)
        if version == NOBODY:
            if not registry.versions() and registry.runs.problem() is None:
                registry.runs.set_cycles_aside()  # what they learned is lost, and learned again
            _set_aside(project.project)
    return _describe_ledger(project)


def _set_aside(project: ProjectFolder) -> None:
    """Move what this machine knows of the lost versions out of the way: their numbers will be given again."""
    aside = project.work / f"before-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    aside.mkdir()
    for name in ("versions", "finished", "finished.json", "cycles", "cycles.sqlite", "checks.json"):
        if (project.work / name).exists():
            (project.work / name).rename(aside / name)


def _describe_ledger(project: OpenProject, *, done: Sequence[str] = ()) -> dict[str, Any]:
    project.stores.registry.initialise()
    read = verify_ledger(project)
    return {
        "done": list(done),
        "outside": outside_changes(project.stores.registry, read.entries),
        "model": project.config.name,
        "entries": [entry.model_dump(mode="json") for entry in read.entries],
        "whole": read.broken is None,
        "broken": read.broken and read.broken.model_dump(),
    }


def verify_ledger(project: OpenProject) -> ReadLedger:
    """Return the ledger of an opened project and its first integrity violation.

    Hashes, and signatures if there is a key, are recomputed. The last entry is compared with the head in the registry,
    and each verdict digest with the verdict stored with the version.
    """
    entries, broken = examine(project.stores.registry, project.stores.ledger)
    return ReadLedger(entries=entries, broken=broken or _verdict_mismatch(entries, project.stores.registry.versions()))


def champion_at(folder: Path, as_of: str | None) -> dict[str, Any]:
    """Return champion, canary and shadow according to the ledger, now or at a time, with the entries that say so.

    Raises:
        InputError: the time is invalid or in the future.
    """
    project = open_project(folder, reading=True)
    moment = datetime.now(UTC) if as_of is None else parse_moment(as_of)
    entries = project.stores.ledger.entries(project.config.name)
    # for now use all entries: another machine's clock may be ahead of this one's
    held = state.holders(entries if as_of is None else state.entries_until(entries, moment))
    return {
        "model": project.config.name,
        "as_of": moment.isoformat(),
        "first_entry": entries[0].recorded_at.isoformat() if entries else None,
        **{alias: held[alias].model_dump(mode="json") if alias in held else None for alias in state.ALIASES},
    }


def parse_moment(text: str) -> datetime:
    """Parse an ISO date or time; a date means its last moment, today means now; the default zone is the machine's.

    Raises:
        InputError: it is not an ISO date or time, or it is in the future.
    """
    now = datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"--as-of {text}: not an ISO date or time; use e.g. 2026-03-01 or 2026-03-01T12:00+01:00"
        ) from None
    is_date = len(text) <= len("2026-03-01") and moment.time() == time.min
    try:
        if moment.astimezone(UTC) > now:
            raise InputError(f"--as-of {text}: is in the future; it is {now:%Y-%m-%dT%H:%M:%SZ} now")
        last = datetime.combine(moment, time.max) if is_date else moment
        return min(last.astimezone(UTC), now)
    except (OverflowError, ValueError, OSError):
        raise InputError(f"--as-of {text}: out of the supported range of dates") from None


def _verdict_mismatch(entries: list[LedgerEntry], versions: list[VersionInfo]) -> IntegrityViolation | None:
    for entry in entries:
        kept = verdict_digest(versions, entry.to_version)
        if entry.verdict_digest and kept and kept != entry.verdict_digest and entry.state == "committed":
            why = f"its verdict digest differs from the verdict that the registry stores for version {entry.to_version}"
            return IntegrityViolation(sequence=entry.sequence, why=why)
    return None
