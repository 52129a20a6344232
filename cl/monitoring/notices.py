"""Notices sent to people about unattended runs: alarms, promotions, refusals, held batches and failures."""

from __future__ import annotations

from collections.abc import Sequence

from cl.config import Telling
from cl.monitoring.triggers import DriftCheck, TrafficCheck
from cl.records import Cycle, Drift, LedgerEntry, Record
from cl.stores.data.rejected_batches import RejectedBatch

MAX_NAMES, MOST_IDS = 3, 20
OF_VERDICT: dict[str, Telling] = {
    "promoted": "promotion",
    "canary": "promotion",
    "shadow": "promotion",
    "refused": "refusal",
    "held": "hold",
    "waiting": "approval",
}


class Notice(Record):
    """One message. ``text`` is complete on its own, as chat webhooks show it; the other fields are for programs."""

    about: Telling
    model: str
    experience: str | None = None
    cycle: str | None = None
    champion: str | None = None
    title: str
    text: str


def alarm_notice(model: str, cycle: str, champion: str | None, drift: Drift) -> Notice | None:
    """Return the notice of an alarm, or None if nothing has drifted."""
    alarms = [f"{finding.detector}: {finding.summary}" for finding in drift.findings if finding.drifted]
    if not alarms:
        return None
    title = f"{model}: alarm on {drift.experience}"
    return Notice(
        about="alarm",
        model=model,
        experience=drift.experience,
        cycle=cycle,
        champion=champion,
        title=title,
        text="\n".join([title, *alarms]),
    )


def traffic_notice(model: str, check: TrafficCheck) -> Notice | None:
    """Return the notice of an alarm on unlabelled traffic, with the rows to label first, or None without an alarm."""
    alarms = [finding for finding in check.drift.findings if finding.drifted]
    if not alarms:
        return None
    title = f"{model}: alarm on {check.rows} served rows without labels; please label some of them"
    wanted = rows_to_label(check.drift)
    remedy = f"label these first (POST /feedback, then cl ingest --from-serving): {', '.join(wanted)}"
    reasons = [f"{finding.detector}: {finding.summary}" for finding in alarms]
    return Notice(
        about="alarm",
        model=model,
        experience=check.id,
        champion=check.champion,
        title=title,
        text="\n".join([title, *reasons, *([remedy] if wanted else [])]),
    )


def rows_to_label(drift: Drift) -> list[str]:
    """Return the ids of the rows that show the alarms best, a bounded number: on served traffic, label these first."""
    alarms = [finding for finding in drift.findings if finding.drifted]
    return list(dict.fromkeys(id for finding in alarms for id in finding.examples))[:MOST_IDS]


def cycle_notice(model: str, cycle: Cycle) -> Notice | None:
    """Return the notice of how a cycle ended, or None if it left the model unchanged."""
    about = OF_VERDICT.get(cycle.verdict)
    if about is None:
        return None
    id, version = cycle.experience.id, cycle.promotion.version if cycle.promotion else None
    titles: dict[str, str] = {
        "promoted": f"{model}: version {cycle.champion_after} is the new champion, trained on {id}",
        "canary": f"{model}: version {version} is a canary, trained on {id}",
        "shadow": f"{model}: version {version} is a shadow, trained on {id}",
        "refused": f"{model}: the update on {id} was refused; the champion is still version {cycle.champion_after}",
        "held": f"{model}: {id} is held; check `cl history`, then cl run --again {id}",
        "waiting": f"{model}: version {version}, trained on {id}, awaits approval: "
        f"cl approve {version}, or cl reject {version} --why TEXT",
    }
    title = titles[cycle.verdict]
    refused = [verdict for verdict in (cycle.gates.verdicts if cycle.gates else []) if not verdict.passed]
    reasons = [*cycle.decision.reasons, *(f"refused by {verdict.gate}: {verdict.why}" for verdict in refused)]
    return Notice(
        about=about,
        model=model,
        experience=id,
        cycle=cycle.id,
        champion=cycle.champion_after,
        title=title,
        text="\n".join([title, *reasons]),
    )


def answer_notice(model: str, entry: LedgerEntry) -> Notice:
    """Return the notice of a person's decision about a version that awaited approval."""
    yes = entry.action == "approve"
    outcome = (
        f"is the {entry.alias}"
        if yes
        else f"was rejected; the champion is still version {entry.from_version or 'none'}"
    )
    title = f"{model}: version {entry.to_version} {outcome}"
    return Notice(
        about="promotion" if yes else "refusal",
        model=model,
        champion=entry.to_version if yes and entry.alias == "champion" else None,
        title=title,
        text=f"{title}\n{entry.action} by {entry.actor}: {entry.why}",
    )


def alias_notice(model: str, entry: LedgerEntry) -> Notice:
    """Return the notice of an alias that does not point where the ledger says."""
    title = f"{model}: the alias {entry.alias} was moved by hand to version {entry.to_version or 'none'}"
    put_back = (
        f"it was moved back to version {entry.from_version or 'none'}" if entry.state == "committed" else entry.why
    )
    return Notice(
        about="alias",
        model=model,
        champion=entry.from_version if entry.alias == "champion" else None,
        title=title,
        text=f"{title}\n{put_back}; ledger entry {entry.sequence}, detected {entry.recorded_at:%Y-%m-%d %H:%M} UTC",
    )


def rejected_batches_notice(model: str, batches: Sequence[RejectedBatch]) -> Notice:
    """Return the notice of source batches that were skipped."""
    names = ", ".join(batch.origin for batch in batches[:MAX_NAMES]) + (", ..." if len(batches) > MAX_NAMES else "")
    title = f"{model}: cannot be read, skipped until changed: {names}"
    return Notice(about="failure", model=model, title=title, text="\n".join([title, *(batch.why for batch in batches)]))


def exhausted_attempts_notice(model: str, check: DriftCheck, attempts: int) -> Notice:
    """Return the notice of a cycle that is no longer retried automatically and blocks all cycles after it."""
    title = f"{model}: {check.experience.id} has failed {attempts} times; learning is blocked until somebody fixes it"
    remedy = "see the failed runs in Prefect for the cause, then run `cl trigger` to retry"
    return Notice(
        about="failure",
        model=model,
        experience=check.experience.id,
        cycle=check.cycle,
        champion=check.champion,
        title=title,
        text=f"{title}\n{remedy}",
    )


def failure_notice(model: str, run: str, message: str) -> Notice:
    """Return the notice of a failed run."""
    title = f"{model}: {run} failed"
    return Notice(about="failure", model=model, title=title, text=f"{title}\n{message}")
