"""What people are told when nobody stands beside: an alarm, a promotion, a refusal, a held batch, a failure."""

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
    """One message: ``text`` is whole by itself, as chat webhooks show it; the rest is for programs."""

    about: Telling
    model: str
    experience: str | None = None
    cycle: str | None = None
    champion: str | None = None
    title: str
    text: str


def alarm_notice(model: str, cycle: str, champion: str | None, seen: Drift) -> Notice | None:
    """Return the notice of an alarm; None where nothing has drifted."""
    loud = [f"{finding.detector}: {finding.summary}" for finding in seen.findings if finding.drifted]
    if not loud:
        return None
    title = f"{model}: alarm on {seen.experience}"
    return Notice(
        about="alarm",
        model=model,
        experience=seen.experience,
        cycle=cycle,
        champion=champion,
        title=title,
        text="\n".join([title, *loud]),
    )


def traffic_notice(model: str, look: TrafficCheck) -> Notice | None:
    """Return the notice of an alarm on answers that have no labels: which of them are worth a label; None: no alarm."""
    loud = [finding for finding in look.drift.findings if finding.drifted]
    if not loud:
        return None
    title = f"{model}: alarm on {look.rows} served rows, going by no labels; some labels are wanted"
    wanted = list(dict.fromkeys(id for finding in loud for id in finding.examples))[:MOST_IDS]
    remedy = f"label these first (POST /feedback, then cl ingest --from-serving): {', '.join(wanted)}"
    reasons = [f"{finding.detector}: {finding.summary}" for finding in loud]
    return Notice(
        about="alarm",
        model=model,
        experience=look.id,
        champion=look.champion,
        title=title,
        text="\n".join([title, *reasons, *([remedy] if wanted else [])]),
    )


def cycle_notice(model: str, cycle: Cycle) -> Notice | None:
    """Return the notice of how a cycle ended; None where it left the model alone."""
    about = OF_VERDICT.get(cycle.verdict)
    if about is None:
        return None
    id, version = cycle.experience.id, cycle.promotion.version if cycle.promotion else None
    titles: dict[str, str] = {
        "promoted": f"{model}: version {cycle.champion_after} serves, having learnt {id}",
        "canary": f"{model}: version {version} is a canary, having learnt {id}",
        "shadow": f"{model}: version {version} is a shadow, having learnt {id}",
        "refused": f"{model}: the update by {id} was refused, version {cycle.champion_after} goes on serving",
        "held": f"{model}: {id} is held; look at `cl history`, then cl run --again {id}",
        "waiting": f"{model}: version {version}, having learnt {id}, waits for a person: "
        f"cl approve {version}, or cl reject {version} --why TEXT",
    }
    title = titles[cycle.verdict]
    refused = [one for one in (cycle.gates.verdicts if cycle.gates else []) if not one.passed]
    reasons = [*cycle.decision.reasons, *(f"refused by {one.gate}: {one.why}" for one in refused)]
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
    """Return the notice of a person's answer about a version that waited."""
    yes = entry.action == "approve"
    what = f"is the {entry.alias}" if yes else f"was rejected, version {entry.from_version or 'none'} serves on"
    title = f"{model}: version {entry.to_version} {what}"
    return Notice(
        about="promotion" if yes else "refusal",
        model=model,
        champion=entry.to_version if yes and entry.alias == "champion" else None,
        title=title,
        text=f"{title}\n{entry.action} by {entry.actor}: {entry.why}",
    )


def alias_notice(model: str, entry: LedgerEntry) -> Notice:
    """Return the notice of an alias that was found elsewhere than the ledger says."""
    title = f"{model}: the alias {entry.alias} was moved by hand to version {entry.to_version or 'none'}"
    put_back = f"it is on version {entry.from_version or 'none'} again" if entry.state == "committed" else entry.why
    return Notice(
        about="alias",
        model=model,
        champion=entry.from_version if entry.alias == "champion" else None,
        title=title,
        text=f"{title}\n{put_back}; entry {entry.sequence} of the ledger, found {entry.at:%Y-%m-%d %H:%M} UTC",
    )


def rejected_batches_notice(model: str, batches: Sequence[RejectedBatch]) -> Notice:
    """Return the notice of batches of the source that were left out."""
    names = ", ".join(one.origin for one in batches[:MAX_NAMES]) + (", ..." if len(batches) > MAX_NAMES else "")
    title = f"{model}: cannot be read, and left out until it changes: {names}"
    return Notice(about="failure", model=model, title=title, text="\n".join([title, *(one.why for one in batches)]))


def stopped_canary_notice(model: str, look: DriftCheck, attempts: int) -> Notice:
    """Return the notice of a cycle that is not tried again by itself, which holds up all after it."""
    title = f"{model}: {look.experience.id} has failed {attempts} times; nothing is learnt until somebody sees to it"
    remedy = "the failed runs in Prefect say why; then `cl trigger` starts one more"
    return Notice(
        about="failure",
        model=model,
        experience=look.experience.id,
        cycle=look.cycle,
        champion=look.champion,
        title=title,
        text=f"{title}\n{remedy}",
    )


def failure_notice(model: str, run: str, message: str) -> Notice:
    """Return the notice of a run that did not end well."""
    title = f"{model}: {run} failed"
    return Notice(about="failure", model=model, title=title, text=f"{title}\n{message}")
